// The page of a job. It polls updates of the job from its master (Go: package page, update.go) and
// shows them; in a page that was saved after the job the last update is in the file itself.
//
// Nothing that comes from outside is ever read as markup: text goes into the page as text.
'use strict';

const pollEvery = 2000; // ms
const pollSlowly = 10000; // after polls that failed
const rowHeight = 34; // px, as in page.css
const mostLog = 300000; // characters of a log that are kept

// Links are relative to the page. The proxy also shows it without the slash at the end.
const base = location.pathname.endsWith('/') ? location.pathname : location.pathname + '/';

const $ = id => document.getElementById(id);

// element makes an element with attributes; children are elements or text.
function element(name, attributes = {}, ...children) {
  const e = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
  e.append(...children);
  return e;
}

function shape(name, attributes = {}, ...children) {
  const e = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
  e.append(...children);
  return e;
}

// link is a link, if the address is one that a browser may follow; else its text.
function link(address, text) {
  return /^https?:\/\//.test(address) ? element('a', { href: address, rel: 'noreferrer' }, text) : document.createTextNode(text);
}

// say sets text, and leaves what is there alone if it is that already: a reader may have it selected.
function say(e, text) {
  if (e.textContent !== text) e.textContent = text;
}

// ---- numbers and times, in words ----

function duration(seconds) {
  if (!(seconds >= 0)) return '';
  if (seconds < 1) return Math.round(1000 * seconds) + ' ms';
  if (seconds < 10) return seconds.toFixed(1) + ' s';
  if (seconds < 60) return Math.round(seconds) + ' s';
  const m = Math.floor(seconds / 60);
  if (m < 60) return m + ' min ' + Math.floor(seconds % 60) + ' s';
  const h = Math.floor(m / 60);
  if (h < 48) return h + ' h ' + m % 60 + ' min';
  return Math.floor(h / 24) + ' days ' + h % 24 + ' h';
}

function size(bytes) {
  if (!(bytes > 0)) return '';
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let i = 0;
  for (; bytes >= 1024 && i < units.length - 1; i++) bytes /= 1024;
  return (bytes < 10 && i > 0 ? bytes.toFixed(1) : Math.round(bytes)) + ' ' + units[i];
}

function number(n) {
  if (n === null || n === undefined) return '';
  if (Number.isInteger(n)) return String(n);
  return Math.abs(n) >= 0.001 && Math.abs(n) < 1e6 ? String(Number(n.toPrecision(4))) : n.toExponential(2);
}

const time = iso => new Date(iso).getTime();
const clock = iso => new Date(iso).toLocaleString();
const id = task => task.role + '/' + task.index;

// ---- what is known of the job ----

let job = null; // the newest update
const tasks = new Map(); // by id
let order = []; // the ids, as the job has them

function take(update) {
  if (update.whole) {
    tasks.clear();
    order = update.tasks.map(id);
  }
  for (const t of update.tasks) tasks.set(id(t), t);
  job = update;
  show();
}

function show() {
  showHeader();
  showTasks();
  showCurve();
  showTimeline();
  showFailures();
  showCheckpoints();
  showInputs();
  showCluster();
}

function showHeader() {
  const j = job.job;
  document.title = j.state + ': ' + j.name + ' - tfos';
  say($('name'), j.name);
  say($('state'), j.state);
  $('state').className = 'state ' + j.state;
  const end = j.finished ? time(j.finished) : time(job.now);
  const facts = [j.id, j.user && 'of ' + j.user, j.queue && 'in queue ' + j.queue, 'since ' + clock(j.started), 'for ' + duration((end - time(j.started)) / 1000),
    'generation ' + j.generation, j.attempt > 1 && 'master ' + j.attempt, j.recovery.strategy && 'strategy ' + j.recovery.strategy,
    j.resumed_from && 'resumed from ' + j.resumed_from, j.exit_code !== null && 'exit code ' + j.exit_code];
  say($('facts'), facts.filter(Boolean).join(' · '));
  const percent = Math.round(100 * j.progress);
  $('bar').firstElementChild.style.width = percent + '%';
  $('bar').setAttribute('aria-valuenow', percent);
  say($('said'), j.diagnostics);
  $('board').firstElementChild.href = base + 'tensorboard/?tensorboardColab=true';
  $('board').hidden = !(j.tensorboard_url && j.exit_code === null);
  $('problems').replaceChildren(...j.problems.map(p => element('li', {}, p)));
}

// ---- the tasks: only the rows in view are there, so that ten thousand scroll as ten ----

let shown = []; // the tasks that the filter lets through

function showTasks() {
  const counts = new Map();
  for (const t of tasks.values()) counts.set(t.state, (counts.get(t.state) || 0) + 1);
  say($('counts'), [...counts].map(([state, n]) => n + ' ' + state).join(', '));
  const words = $('filter').value.toLowerCase().split(/\s+/).filter(Boolean);
  shown = order.map(o => tasks.get(o)).filter(t => {
    const text = [id(t), t.state, t.node, t.cause, t.container].join(' ').toLowerCase();
    return words.every(w => text.includes(w));
  });
  fillRows();
}

function fillRows() {
  const box = $('rows'), body = box.querySelector('tbody');
  const first = Math.max(0, Math.floor(box.scrollTop / rowHeight) - 10);
  const last = Math.min(shown.length, first + Math.ceil((box.clientHeight || 600) / rowHeight) + 20);
  const rows = [space(first)];
  for (let i = first; i < last; i++) rows.push(row(shown[i]));
  rows.push(space(shown.length - last));
  const focused = body.contains(document.activeElement) ? document.activeElement.dataset.task : '';
  body.replaceChildren(...rows);
  if (focused) body.querySelector('[data-task="' + CSS.escape(focused) + '"]')?.focus({ preventScroll: true });
}

// space stands for rows that are not in view.
function space(count) {
  const cell = element('td', { colspan: 10 });
  cell.style.height = count * rowHeight + 'px';
  const r = element('tr', { class: 'space', 'aria-hidden': 'true' }, cell);
  r.hidden = count === 0;
  return r;
}

function row(t) {
  const step = t.steps > 0 ? t.step + ' / ' + t.steps : t.step > 0 ? String(t.step) : '';
  const state = element('td', { title: t.why || t.cause || t.state }, element('span', { class: 'state ' + t.state }, t.state));
  const logs = element('td');
  if (!saved && t.agent) {
    const open = element('button', { type: 'button', 'data-task': id(t), 'aria-label': 'log of ' + id(t) }, 'log');
    open.addEventListener('click', () => openLog(id(t)));
    logs.append(open, ' ');
  }
  if (t.log_url) logs.append(link(t.log_url, 'node'));
  return element('tr', {},
    element('th', { scope: 'row', title: t.container }, id(t)), state, element('td', { class: 'wide', title: t.node }, t.node), cell(t.incarnation || '', 'wide'),
    cell(step), cell(t.steps_per_second > 0 ? number(t.steps_per_second) : ''), cell(number(t.loss)), cell(size(t.memory_bytes)),
    cell(t.memory_bytes > 0 ? t.cpu.toFixed(2) : ''), logs);
}

const cell = (text, also = '') => element('td', { class: 'num ' + also }, String(text));

// ---- pictures ----

// frame is an empty picture with an axis of time below; x gives a time's place in it.
function frame(height, left, label) {
  const width = 960, right = 60;
  const from = time(job.job.started), to = Math.max(from + 1000, job.job.finished ? time(job.job.finished) : time(job.now));
  const svg = shape('svg', { viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': label });
  const x = at => left + (width - left - right) * Math.min(1, Math.max(0, (at - from) / (to - from)));
  for (let i = 0; i <= 4; i++) {
    const at = from + (to - from) * i / 4;
    svg.append(shape('line', { class: 'axis', x1: x(at), x2: x(at), y1: 0, y2: height - 20 }),
      shape('text', { x: x(at), y: height - 5, 'text-anchor': 'middle' }, duration((at - from) / 1000)));
  }
  const marks = (list, kind, text) => {
    for (const [at, what] of list)
      svg.append(shape('line', { class: kind, x1: x(at), x2: x(at), y1: 0, y2: height - 20 }, shape('title', {}, text(what) + ', ' + new Date(at).toLocaleString())));
  };
  marks(job.history.generations.map(g => [time(g.at), g.generation]), 'generation', g => 'generation ' + g + ' of the cluster_spec');
  marks(job.job.master_restarts.map(at => [time(at), 0]), 'master', () => 'the application master was replaced');
  return { svg, x, to, width, right };
}

function showCurve() {
  const points = job.history.curve;
  if (points.length < 2) {
    $('curve').replaceChildren(element('p', { class: 'faint' }, 'No steps are known yet. A program reports them by tfos.step(n, of, loss=…), or prints them.'));
    return;
  }
  const height = 240, left = 60;
  const { svg, x, width, right } = frame(height, left, 'steps and loss over time');
  const draw = (kind, value, anchor, at) => {
    const known = points.filter(p => value(p) !== null);
    if (known.length === 0) return;
    let low = Infinity, high = -Infinity;
    for (const p of known) { low = Math.min(low, value(p)); high = Math.max(high, value(p)); }
    if (kind === 'step') low = 0;
    const y = v => 16 + (height - 46) * (1 - (high > low ? (v - low) / (high - low) : 0.5));
    svg.append(shape('polyline', { class: kind, points: known.map(p => x(time(p.at)).toFixed(1) + ',' + y(value(p)).toFixed(1)).join(' ') }),
      shape('text', { class: kind, x: at, y: 12, 'text-anchor': anchor }, number(high)),
      shape('text', { class: kind, x: at, y: height - 26, 'text-anchor': anchor }, kind + ' ' + number(low)));
  };
  draw('step', p => p.step, 'end', left - 6);
  draw('loss', p => p.loss, 'start', width - right + 6);
  $('curve').replaceChildren(svg);
}

const mostSpans = 40; // tasks in the timeline

// showTimeline draws the incarnations of the tasks. A restart says when one was lost and how long
// it took until the next one ran.
function showTimeline() {
  const restarts = new Map();
  for (const r of job.job.restarts) {
    if (!restarts.has(r.task)) restarts.set(r.task, []);
    restarts.get(r.task).push(r);
  }
  const eventful = o => restarts.has(o) || tasks.get(o).state === 'failed';
  const rows = [...order.filter(eventful), ...order.filter(o => !eventful(o))].slice(0, mostSpans);
  const height = rows.length * 20 + 30;
  const { svg, x, to } = frame(height, 130, 'incarnations of the tasks over time; the table of failures says the same in words');
  const first = job.history.generations.length > 0 && job.history.generations[0].generation === 1 ? time(job.history.generations[0].at) : time(job.job.started);
  rows.forEach((o, i) => {
    const t = tasks.get(o), y = i * 20 + 4;
    svg.append(shape('text', { x: 122, y: y + 11, 'text-anchor': 'end' }, o.length > 18 ? '…' + o.slice(-17) : o));
    const bar = (from, until, kind, text) => {
      if (until > from) svg.append(shape('rect', { class: kind, x: x(from), y, width: Math.max(1.5, x(until) - x(from)), height: 14 }, shape('title', {}, o + ' ' + text)));
    };
    const losses = restarts.get(o) || [];
    const began = t.started ? time(t.started) : NaN;
    let from = losses.length > 0 ? first : began;
    losses.forEach((r, k) => {
      const lost = time(r.at);
      const again = r.seconds > 0 ? lost + 1000 * r.seconds : k + 1 < losses.length ? time(losses[k + 1].at) : began >= lost ? began : to;
      bar(from, lost, 'running', 'ran ' + duration((lost - from) / 1000) + ', then: ' + r.cause + (r.why ? ', ' + r.why : ''));
      bar(lost, again, 'gap', 'lost (' + r.cause + '), ' + duration((again - lost) / 1000) + ' until it ran again');
      from = again;
    });
    const end = t.finished ? time(t.finished) : to;
    if (!isNaN(from)) bar(from, end, t.state, 'incarnation ' + t.incarnation + ', ' + t.state + ' on ' + t.node);
  });
  const rest = order.length - rows.length;
  $('spans').replaceChildren(svg, element('p', { class: 'faint' },
    (rest > 0 ? 'And ' + rest + ' more tasks, to which less happened. ' : '') + 'Dashed lines: generations of the cluster_spec, and in red masters that were replaced.'));
}

// ---- tables ----

// table replaces what is in a box, and does so only if it has changed: a reader may be in it.
function table(box, head, rows, none) {
  const now = JSON.stringify(rows);
  if (box.dataset.rows === now) return;
  box.dataset.rows = now;
  if (rows.length === 0) {
    box.replaceChildren(element('p', { class: 'faint' }, none));
    return;
  }
  box.replaceChildren(element('div', { class: 'table' }, element('table', {},
    element('thead', {}, element('tr', {}, ...head.map(h => element('th', { scope: 'col' }, h)))),
    element('tbody', {}, ...rows.map(r => element('tr', {}, ...r.map(c => element('td', {}, c))))))));
}

function showFailures() {
  const rows = [];
  for (const o of order) {
    const t = tasks.get(o);
    if (t.state === 'failed') rows.push([t.finished ? clock(t.finished) : '', o, t.cause, t.why, 'it was not started again']);
  }
  for (const r of [...job.job.restarts].reverse()) {
    const cost = [r.seconds > 0 ? duration(r.seconds) : 'not over yet', r.lost_steps > 0 && r.lost_steps + ' steps taken again',
      r.resumed_step !== null && 'went on from step ' + r.resumed_step, r.new_container && 'a new container'];
    rows.push([clock(r.at), r.task, r.cause, r.why, cost.filter(Boolean).join(', ')]);
  }
  const last = job.job.last_failure;
  $('last').textContent = last ? clock(last.at) + ' ' + last.text : '';
  $('last').hidden = !last;
  table($('failed'), ['When', 'Task', 'Cause', 'What happened', 'What it cost'], rows, 'None.');
}

function showCheckpoints() {
  const newest = [...job.job.checkpoints].sort((a, b) => time(b.time) - time(a.time)).slice(0, 50);
  table($('saved'), ['When', 'Step', 'Size', 'Verdict', 'Format', 'By', 'Path'],
    newest.map(c => [clock(c.time), c.step >= 0 ? String(c.step) : '', size(c.bytes), c.verdict, c.format, c.by, c.path]), 'None is known.');
}

function showInputs() {
  table($('read'), ['Dataset', 'Role', 'Epoch', 'Pieces done', 'Being read'],
    job.job.inputs.map(i => [i.name, i.role, i.epochs > 0 ? i.epoch + ' of ' + i.epochs : String(i.epoch), i.done + (i.total > 0 ? ' of ' + i.total : ''), String(i.leased)]),
    'No dataset is shared by leases.');
}

function showCluster() {
  const spec = {};
  for (const o of order) {
    const t = tasks.get(o);
    (spec[t.role] ||= []).push(t.address);
  }
  say($('generation'), 'generation ' + job.job.generation);
  say($('spec'), JSON.stringify(spec, null, 2));
}

// ---- a log ----

let log = null; // {task, stream, next, text}

function openLog(task) {
  $('log').hidden = false;
  say($('log-task'), task);
  log = { task, stream: $('log-stream').value, next: -1, text: '' };
  say($('log-text'), '');
  say($('log-says'), '');
  $('log').scrollIntoView({ block: 'nearest' });
  $('log-text').focus({ preventScroll: true });
  readLog();
}

// readLog reads on, and again after a while. An answer for another log than the one that is open
// now is dropped.
async function readLog() {
  const asked = log;
  let pause = pollEvery;
  if (!document.hidden && $('log-follow').checked) {
    try {
      const part = await get('logs', { task: asked.task, stream: asked.stream, offset: asked.next });
      if (asked !== log) return;
      if (part.error) {
        say($('log-says'), part.error);
        asked.next = -1; // its next process has another log
      } else {
        if (part.cut) asked.text += '\n… something was left out …\n';
        asked.text = (asked.text + part.text).slice(-mostLog);
        asked.next = part.next;
        if (part.more) pause = 50;
        say($('log-says'), asked.text ? '' : 'It is empty.');
        const box = $('log-text'), atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
        if (part.text || part.cut) {
          box.textContent = asked.text;
          if (atEnd) box.scrollTop = box.scrollHeight;
        }
      }
    } catch (e) {
      if (asked !== log) return;
      say($('log-says'), 'It cannot be had now: ' + e.message);
      pause = pollSlowly;
    }
  }
  setTimeout(() => { if (asked === log) readLog(); }, pause);
}

function closeLog() {
  const task = log && log.task;
  log = null;
  $('log').hidden = true;
  $('rows').querySelector('[data-task="' + CSS.escape(task || '') + '"]')?.focus();
}

// ---- polling ----

// get asks the master. The proxy redirects when there is no master: that is an error here.
async function get(what, parameters) {
  const answer = await fetch(base + what + '?' + new URLSearchParams(parameters), { redirect: 'manual', credentials: 'same-origin' });
  if (answer.type === 'opaqueredirect') throw new Error('the job has no master now');
  if (!answer.ok) throw new Error('answer ' + answer.status);
  return answer.json();
}

let failures = 0;
let waiting = 0; // the timer of the next poll

async function poll() {
  clearTimeout(waiting);
  if (document.hidden) return; // visibilitychange goes on
  try {
    take(await get('data', job ? { epoch: job.epoch, version: job.version } : {}));
    failures = 0;
    say($('link'), '');
  } catch (e) {
    failures++;
    const over = job && job.job.finished;
    $('link').replaceChildren(over ? 'The job has ended. ' : 'No news of the job: ' + e.message + '. It has ended, or its master is being replaced. ',
      element('a', { href: base }, 'Load this page again'), ' to see where it stands.');
  }
  if (job && job.job.finished && failures > 0) return;
  waiting = setTimeout(poll, failures > 1 ? pollSlowly : pollEvery);
}

// ---- the beginning ----

const saved = $('document') ? JSON.parse($('document').textContent) : null;

let frameAsked = false;
$('rows').addEventListener('scroll', () => {
  if (frameAsked) return;
  frameAsked = true;
  requestAnimationFrame(() => { frameAsked = false; fillRows(); });
}, { passive: true });
$('filter').addEventListener('input', () => { if (job) showTasks(); });
$('log-stream').addEventListener('change', () => { if (log) openLog(log.task); });
$('log-close').addEventListener('click', closeLog);
$('log').addEventListener('keydown', e => { if (e.key === 'Escape') closeLog(); });

if (saved) {
  take(saved);
  say($('foot'), 'This page was saved when the job ended. Its logs: tfos logs ' + saved.job.id);
} else {
  document.addEventListener('visibilitychange', () => { if (!document.hidden) poll(); });
  poll();
}
