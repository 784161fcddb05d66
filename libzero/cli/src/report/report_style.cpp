// The look of a report: light and dark, on paper, and without colour. Pictures name their colours
// as the variables do; draw.py lists the names.

#include "report/report_cells.hpp"

namespace zero::cli {

const char* const report_style = R"css(
:root { color-scheme: light dark;
  --page: #ffffff; --ink: #1c2026; --soft: #5c6570; --line: #d5dae0; --band: #f4f6f8;
  --wrong: #b3261e; --right: #1a6b3c;
  --c0: #3b6fb6; --c1: #d98032; --c2: #4f9a5b; --c3: #b4bac2; --c4: #8a63b0; --c5: #a98a5b;
  --c6: #c0504d; --c7: #2f9c9c; --c8: #6b7480; --c9: #d9b440; }
@media screen and (prefers-color-scheme: dark) { :root {
  --page: #14171b; --ink: #e6e9ed; --soft: #9aa4b0; --line: #363d46; --band: #1c2127;
  --wrong: #ff8a80; --right: #7bd39b;
  --c0: #6a9be0; --c1: #e8a05c; --c2: #76bd82; --c3: #69727d; --c4: #b08fd6; --c5: #c6a878;
  --c6: #e0807c; --c7: #5cc4c4; --c8: #98a2ae; --c9: #e6c766; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1.25rem 4rem; max-width: 70rem; background: var(--page);
  color: var(--ink); font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .2rem; }
h3 { font-size: 1rem; margin: 1.6rem 0 .2rem; }
p { margin: .2rem 0 .6rem; max-width: 52rem; } section > p, figcaption, .soft { color: var(--soft); }
.verdict { border-left: 4px solid var(--right); padding: .3rem .8rem; background: var(--band); }
.verdict.wrong { border-color: var(--wrong); } .verdict ul { margin: .2rem 0; padding-left: 1.2rem; }
.missing { border-left: 4px solid var(--c1); padding: .3rem .8rem; background: var(--band); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .84rem; font-variant-numeric: tabular-nums; }
th, td { padding: .22rem .6rem; text-align: right; border-bottom: 1px solid var(--line);
  vertical-align: top; }
thead th { color: var(--soft); font-weight: 600; vertical-align: bottom; max-width: 8rem; }
th[scope=row], thead th:first-child { text-align: left; white-space: nowrap; }
tbody tr:nth-child(even) { background: var(--band); }
td small { color: var(--soft); } .digest { font: .78rem/1.6 ui-monospace, monospace; }
pre { background: var(--band); padding: .6rem .8rem; overflow-x: auto; white-space: pre-wrap;
  word-break: break-word; font-size: .82rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: .4rem 0;
  font-size: .88rem; } dt { color: var(--soft); } dd { margin: 0; word-break: break-word; }
figure { margin: .6rem 0 1.4rem; break-inside: avoid; } figcaption { font-size: .88rem; }
figure svg { width: 100%; height: auto; max-height: none; display: block; }
figure svg text { font-family: system-ui, "DejaVu Sans", sans-serif; }
@media print { :root { color-scheme: light; --page: #fff; --ink: #000; --soft: #444;
    --line: #bbb; --band: #f4f4f4; }
  body { max-width: none; padding: 0; font-size: 10pt; } .wide { overflow: visible; }
  table { font-size: 6.5pt; } .digest { font-size: 5.5pt; } th, td { padding: .1rem .25rem; }
  h2, h3 { break-after: avoid; } tr { break-inside: avoid; } }
)css";

}  // namespace zero::cli
