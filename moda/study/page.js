(() => {
  const get = id => document.getElementById(id), design = JSON.parse(get('design').textContent);
  const place = 'moda-study-' + design.study, orders = design.orders.length;
  const random = count => crypto.getRandomValues(new Uint32Array(1))[0] % count;
  const asked = Number((location.hash.match(/^#(\d{1,9})$/) || [])[1] || NaN);
  const begin = number => ({
    participant: Array.from(crypto.getRandomValues(new Uint8Array(8)), b => b.toString(16).padStart(2, '0')).join(''),
    number, started: null, ended: null, answers: [],
  });
  let kept = true, state = null, since = 0, plays = [];
  const store = (key, value) => { try { localStorage.setItem(key, JSON.stringify(value)); } catch { kept = false; } };
  try { state = JSON.parse(localStorage.getItem(place)); } catch { kept = false; }
  state = state || begin(Number.isNaN(asked) ? random(orders) : asked);
  store(place, state);
  const trials = () => {
    const [ratings, pairs] = design.orders[state.number % orders];
    return [...ratings.map(one => [one]), ...pairs].map(shown => shown.map(index => design.videos[index]));
  };

  const show = id => {
    for (const section of document.querySelectorAll('section')) section.hidden = section.id !== id;
    scrollTo(0, 0);
  };
  const file = () => JSON.stringify({
    format: 'moda-study-answers', version: 1, study: design.study, ...state,
  }, null, 1);

  const player = (name, label, count) => {
    const figure = document.createElement('figure'), video = document.createElement('video');
    const button = document.createElement('button'), index = plays.push(0) - 1;
    figure.className = count > 1 ? 'pair' : '';
    Object.assign(video, { src: 'videos/' + name + '.mp4', preload: 'auto', playsInline: true, controls: false });
    Object.assign(button, { type: 'button', textContent: 'Play' + (label && ' ' + label) });
    video.disablePictureInPicture = true;
    button.onclick = () => {
      for (const other of document.querySelectorAll('video')) if (other !== video) other.pause();
      video.currentTime = 0;
      video.play().catch(() => {});
    };
    video.onplay = () => figure.classList.add('playing');
    video.onpause = () => figure.classList.remove('playing');
    video.onerror = () => { get('broken').hidden = false; };
    video.onended = () => {
      plays[index] += 1;
      figure.classList.remove('playing');
      figure.classList.add('seen');
      button.textContent = 'Again';
      for (const field of get('answers').elements) field.disabled = !plays.every(Boolean);
    };
    figure.append(video, button);
    if (label) figure.append(Object.assign(document.createElement('figcaption'), { textContent: label }));
    return figure;
  };

  const step = () => {
    const all = trials(), shown = all[state.answers.length];
    if (!shown) return finish();
    const two = shown.length > 1;
    plays = [];
    get('progress').value = state.answers.length / all.length;
    get('place').textContent = state.answers.length + 1 + ' of ' + all.length;
    get('ask').textContent = two ? 'Please play both videos to their ends, then compare them.'
      : 'Please play the video to its end, then answer.';
    get('videos').className = two ? 'pair-task' : '';
    get('videos').replaceChildren(...shown.map((name, index) => player(name, two ? 'AB'[index] : '', shown.length)));
    get('answers').replaceChildren(get(two ? 'pair' : 'rating').content.cloneNode(true));
    for (const field of get('answers').elements) field.disabled = true;
    get('broken').hidden = get('next').disabled = true;
    since = Date.now();
    show('task');
  };
  const answer = said => {
    const shown = trials()[state.answers.length];
    const seconds = Math.round((Date.now() - since) / 100) / 10;
    state.answers.push({ ...(shown.length > 1 ? { first: shown[0], second: shown[1] } : { video: shown[0] }),
      ...said, plays, seconds });
    if (state.answers.length === trials().length) state.ended = new Date().toISOString();
    store(place, state);
    step();
  };
  const chosen = () => Object.fromEntries(new FormData(get('answers')));
  get('answers').onchange = () => {
    const wanted = plays.length > 1 ? 1 : design.questions.length;
    get('next').disabled = Object.keys(chosen()).length < wanted;
  };
  get('answers').onsubmit = event => event.preventDefault();
  get('next').onclick = () => answer(plays.length > 1 ? chosen()
    : Object.fromEntries(Object.entries(chosen()).map(([name, value]) => [name, Number(value)])));
  get('skip').onclick = () => answer({ unplayable: true });

  const finish = () => {
    get('text').value = file();
    show('end');
  };
  get('save').onclick = () => {
    const link = document.createElement('a');
    link.href = URL.createObjectURL(new Blob([file()], { type: 'application/json' }));
    link.download = 'answers-' + design.study + '-' + state.participant + '.json';
    link.click();
  };
  get('another').onclick = () => {
    if (!confirm('Are the answers saved? The page then begins again.')) return;
    store(place + '-' + state.participant, state);
    state = begin((state.number + 1) % orders);
    store(place, state);
    get('agree').checked = false;
    get('start').disabled = true;
    show('consent');
  };
  get('agree').onchange = () => { get('start').disabled = !get('agree').checked; };
  get('start').onclick = () => {
    state.started = new Date().toISOString();
    store(place, state);
    step();
  };
  addEventListener('storage', event => { if (event.key === place) location.reload(); }); // another tab went on
  get('unkept').hidden = kept;
  if (state.started) step(); else show('consent');
})();
