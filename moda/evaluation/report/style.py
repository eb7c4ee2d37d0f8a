"""Looks of report.html: it stands alone, so they are written into it."""

STYLE = """
:root{color-scheme:light dark;--paper:#fafaf8;--card:#fff;--ink:#1c2024;--soft:#5d6770;--line:#dfe2e0;--track:#f0f1ef;
--good:#24733f;--bad:#b0372d;--truth:#8a939c;--made:#1f66b0;--control:#f4f4f1}
@media(prefers-color-scheme:dark){:root{--paper:#14171a;--card:#1b1f23;--ink:#e3e6e9;--soft:#9aa4ad;--line:#30363c;
--track:#22272c;--good:#67c48b;--bad:#f0877d;--truth:#7d8791;--made:#77b4f2;--control:#181c20}}
*{box-sizing:border-box}
body{margin:0 auto;padding:24px 24px 64px;max-width:1480px;background:var(--paper);color:var(--ink);
font:14px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif;font-variant-numeric:tabular-nums}
h1{font-size:22px;margin:0 0 4px;font-weight:650}
h2{font-size:15px;margin:26px 0 8px;font-weight:650}
h3{font-size:14px;margin:0 0 6px;font-weight:650;overflow-wrap:anywhere}
p{margin:0 0 8px;max-width:100ch}
.soft,small{color:var(--soft);font-size:12px}
code{font-size:12.5px;overflow-wrap:anywhere}
.scroll{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:8px;margin-bottom:14px}
table{border-collapse:collapse;font-size:13px;min-width:100%}
caption{caption-side:top;text-align:left;padding:9px 14px 0;font-weight:650}
th,td{padding:6px 14px;text-align:right;vertical-align:top}
thead th{font-weight:400;color:var(--soft);font-size:12px;line-height:1.3;border-bottom:1px solid var(--line)}
thead th b{display:block;font-weight:600;color:var(--ink)}
th:first-child{text-align:left}
tbody th{font-weight:600;white-space:nowrap}
tbody tr+tr{border-top:1px solid var(--line)}
tr.control{background:var(--control)}
tr.control th{font-weight:400;font-style:italic}
tr.first th,tr.first td{border-top:2px solid var(--line)}
td small{display:block;white-space:nowrap}
td.none{color:var(--soft);font-size:11.5px;line-height:1.25;text-align:left;min-width:120px;max-width:190px}
.printed{border-style:dashed}
.better{color:var(--good)}.worse{color:var(--bad)}
details{margin:0 0 8px}
summary{cursor:pointer;color:var(--soft)}
details .scroll{margin-top:8px}
ul{margin:6px 0;padding-left:20px;font-size:13px}
li{margin:2px 0;overflow-wrap:anywhere}
.clip{padding:16px 0 14px;border-top:1px solid var(--line);content-visibility:auto;contain-intrinsic-size:auto 620px}
.row{display:grid;grid-template-columns:150px minmax(0,1.35fr) minmax(0,1fr);gap:4px 16px;align-items:center;
margin-bottom:6px}
.row>div{min-width:0}
.row b{display:block;font-weight:600;overflow-wrap:anywhere}
.row small{display:block;line-height:1.35}
.strip{display:block;width:100%;aspect-ratio:8;border-radius:4px;background:var(--track);object-fit:cover}
.strip.bare{display:grid;place-items:center;color:var(--soft);font-size:12px}
svg{display:block;width:100%;height:74px;background:var(--track);border-radius:4px}
svg path{fill:none;stroke-width:1.4;stroke-linejoin:round;vector-effect:non-scaling-stroke}
.truth{stroke:var(--truth)}.made{stroke:var(--made)}.tick{stroke:var(--line);stroke-width:1}
.legend{display:flex;flex-wrap:wrap;gap:2px 18px;margin:0 0 10px;color:var(--soft);font-size:12px}
.legend i{display:inline-block;width:16px;height:3px;margin-right:6px;vertical-align:middle;background:var(--truth)}
.legend .m{background:var(--made)}
@media(max-width:900px){body{padding:14px 12px 40px}.row{grid-template-columns:minmax(0,1fr)}
.clip{contain-intrinsic-size:auto 1100px}}
@media print{.clip{content-visibility:visible;break-inside:avoid}}
"""
