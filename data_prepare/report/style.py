"""Looks and manners of the report's page: it stands alone, so both are written into it."""

STYLE = """
:root{color-scheme:light dark;--paper:#fbfbf9;--card:#fff;--ink:#1d2125;--soft:#5c6670;--line:#dfe2e0;--track:#eceeec;
--kept:#2b7a4b;--rejected:#a86400;--failed:#b3372f;--lips:#b0342c;--audio:#c3cdd8;--link:#22609c}
@media(prefers-color-scheme:dark){:root{--paper:#15181b;--card:#1c2024;--ink:#e2e5e8;--soft:#98a2ac;--line:#30363c;
--track:#282d33;--kept:#5dbb82;--rejected:#e0a343;--failed:#ee7f76;--lips:#ff8d80;--audio:#46525f;--link:#8bbcec}}
*{box-sizing:border-box}
body{margin:0 auto;padding:20px 24px 60px;max-width:1400px;background:var(--paper);color:var(--ink);
font:14px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif;font-variant-numeric:tabular-nums}
h1{font-size:21px;margin:0 0 14px;font-weight:650}
h2{font-size:14px;margin:0 0 8px;font-weight:650}
a{color:var(--link)}
p{margin:0 0 8px}table+p{margin-top:8px}
.soft,small{color:var(--soft);font-size:12px}
.kept{--tone:var(--kept)}.rejected{--tone:var(--rejected)}.failed{--tone:var(--failed)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(118px,1fr));gap:1px;background:var(--line);
border:1px solid var(--line);border-radius:8px;overflow:hidden}
.tiles>div{background:var(--card);padding:9px 13px 8px}
.tiles b{display:block;font-size:22px;line-height:1.2;font-weight:600;color:var(--tone,inherit)}
.share{display:flex;height:8px;margin:10px 0 18px;border-radius:4px;overflow:hidden;background:var(--track);gap:1px}
.share i{background:var(--tone)}
.panels{display:grid;grid-template-columns:minmax(250px,.8fr) 1.7fr 1.5fr;gap:16px;align-items:start;margin-bottom:16px}
.panels>section{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:12px 14px;min-width:0}
table{border-collapse:collapse;width:100%;font-size:13px}
th{font-weight:400;text-align:left;color:var(--soft);padding:2px 0}
td{text-align:right;padding:2px 0 2px 10px;white-space:nowrap}
thead th{font-size:12px;text-align:right;padding-left:10px}
thead th:first-child{text-align:left;padding-left:0}
tbody tr{border-top:1px solid var(--line)}
.reasons{list-style:none;margin:0;padding:0;font-size:13px}
.reasons a{display:grid;grid-template-columns:2.6em 1fr;gap:1px 8px;color:inherit;text-decoration:none;padding:3px 0}
.reasons b{text-align:right;font-weight:600;color:var(--tone)}
.reasons span{overflow-wrap:anywhere}
.reasons i{grid-column:2;height:4px;border-radius:2px;background:var(--tone);min-width:2px}
.reasons a:hover span,.reasons a.on span{text-decoration:underline}
details{margin-bottom:10px;font-size:13px}
summary{cursor:pointer;color:var(--soft)}
details ul{columns:3 260px;margin:6px 0;padding-left:18px}
.controls{position:sticky;top:0;z-index:1;display:flex;flex-wrap:wrap;gap:8px 14px;align-items:center;padding:9px 0;
background:var(--paper);border-bottom:1px solid var(--line);font-size:13px}
.controls[hidden]{display:none}
.controls button,.controls select,.controls input{font:inherit;color:inherit;background:var(--card);
border:1px solid var(--line);border-radius:6px;padding:4px 10px}
.controls button[aria-pressed=true]{border-color:var(--ink);box-shadow:inset 0 0 0 1px var(--ink)}
.controls span{display:flex;gap:4px}
.controls input{flex:1 1 140px;max-width:260px;min-width:0}
.legend{display:flex;flex-wrap:wrap;gap:2px 16px;margin:8px 0;color:var(--soft);font-size:12px}
.legend i{display:inline-block;width:14px;height:3px;margin-right:5px;vertical-align:middle;background:var(--lips)}
.legend .area{height:9px;background:var(--audio)}.legend .bad{height:9px;background:none;border:2px solid #ff3030}
.clip{display:grid;grid-template-columns:minmax(0,1.45fr) minmax(0,1fr);gap:4px 20px;padding:12px 0 10px;
border-top:1px solid var(--line);content-visibility:auto;contain-intrinsic-size:auto 172px}
.clip.bare{grid-template-columns:minmax(0,1fr);contain-intrinsic-size:auto 64px}
.clip[hidden]{display:none}
.strip{display:block;aspect-ratio:8;background:var(--track);border-radius:4px 4px 0 0;overflow:hidden}
.strip img{display:block;height:100%;max-width:100%}
.curve{display:block;width:100%;height:54px;background:var(--track);border-radius:0 0 4px 4px}
.audio path{fill:var(--audio)}
.lips path{fill:none;stroke:var(--lips);stroke-width:1.4;stroke-linejoin:round;stroke-linecap:round;
vector-effect:non-scaling-stroke}
.axis{display:flex;justify-content:space-between;color:var(--soft);font-size:11px;gap:8px}
.clip h3{margin:0;font-size:14px;font-weight:600;overflow-wrap:anywhere}
.clip h3 em{font-style:normal;font-size:12px;color:var(--tone);border:1px solid var(--tone);border-radius:10px;
padding:0 8px;margin-right:7px;white-space:nowrap;vertical-align:1px}
.clip p{margin:1px 0;font-size:12.5px;color:var(--soft);overflow-wrap:anywhere}
.clip .why{color:var(--tone);font-size:13px}
.clip .sync{color:var(--ink);font-size:13px}
.clip dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(84px,1fr));gap:3px 10px;margin:6px 0 0}
.clip dl div{min-width:0}
.clip dt{color:var(--soft);font-size:11px;line-height:1.25;overflow-wrap:anywhere}
.clip dd{margin:0;line-height:1.3}
dd.far,.legend u{text-decoration:underline dotted 1px;text-underline-offset:3px}
@media(max-width:900px){.panels{grid-template-columns:minmax(0,1fr)}}
@media(max-width:700px){body{padding:14px 12px 40px}.clip{grid-template-columns:minmax(0,1fr);
contain-intrinsic-size:auto 330px}.tiles{grid-template-columns:repeat(auto-fit,minmax(92px,1fr))}
.tiles b{font-size:19px}.controls{position:static}.look{overflow-x:auto}.look>div{min-width:640px}}
@media print{.controls{display:none}.clip{content-visibility:visible;break-inside:avoid}}
"""

SCRIPT = """
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
"""
