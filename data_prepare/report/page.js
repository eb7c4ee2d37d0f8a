(() => {
  const list = document.getElementById('clips'), rows = [...list.children];
  const panel = document.getElementById('controls'), shown = document.getElementById('shown');
  const buttons = [...panel.querySelectorAll('button')], find = panel.querySelector('input');
  const reasons = [...document.querySelectorAll('.reasons a')];
  let status = '', reason = '';
  rows.forEach((row, index) => {
    row.place = index;
    row.reasons = (row.dataset.reason || '').split(' ');
    row.words = row.querySelector('.text').textContent.toLowerCase();
  });
  const value = (row, key) => {
    if (key === '') return row.place;
    const cell = row.querySelector('[data-k="' + key + '"]');
    return cell ? Number(cell.dataset.v) : Infinity;
  };
  const refresh = () => {
    const wanted = find.value.trim().toLowerCase();
    let count = 0;
    for (const row of rows) {
      const good = (!status || row.classList.contains(status)) && (!reason || row.reasons.includes(reason))
        && row.words.includes(wanted);
      row.hidden = !good;
      count += good;
    }
    shown.textContent = count + ' of ' + rows.length + ' shown';
    buttons.forEach(b => b.setAttribute('aria-pressed', String(b.value === status && !reason)));
    reasons.forEach(a => a.classList.toggle('on', a.dataset.reason === reason));
  };
  buttons.forEach(b => b.addEventListener('click', () => { status = b.value; reason = ''; refresh(); }));
  reasons.forEach(a => a.addEventListener('click', () => {
    status = ''; reason = reason === a.dataset.reason ? '' : a.dataset.reason; refresh();
  }));
  find.addEventListener('input', refresh);
  panel.querySelector('select').addEventListener('change', event => {
    const [key, down] = event.target.value.split('/');
    const keyed = rows.map(row => [value(row, key), row]);
    const way = down ? -1 : 1;
    keyed.sort(([a, x], [b, y]) => {
      if (a === b) return x.place - y.place;
      return a === Infinity ? 1 : b === Infinity ? -1 : way * (a - b);
    });
    list.append(...keyed.map(pair => pair[1]));
  });
  panel.hidden = false;
  refresh();
})();
