"""What the reader's browser runs on the page at /: asks the API every few seconds, fills the tables, draws the service map."""

from __future__ import annotations

SCRIPT = """
const units = ['B', 'kB', 'MB', 'GB', 'TB'];
const size = n => { let i = 0; while (n >= 1000 && i < 4) { n /= 1000; i++ } return (i ? n.toFixed(1) : n) + ' ' + units[i] };
const time = s => s === null ? '' : s >= 1 ? s.toFixed(2) + ' s' : (s * 1000).toFixed(s < 0.1 ? 2 : 0) + ' ms';
const share = x => x ? (100 * x).toFixed(x < 0.1 ? 1 : 0) + ' %' : '';
const find = id => document.getElementById(id);
const put = (id, text, bad) => { find(id).textContent = text; find(id).classList.toggle('bad', !!bad) };
const get = async path => (await fetch(path)).json();
const fill = (id, lines, first, bad) => find(id).replaceChildren(...lines.map(cells => {
  const row = document.createElement('tr');
  cells.forEach((text, i) => {
    const cell = row.insertCell(); cell.textContent = text; cell.title = text;
    if (i >= first) cell.className = 'number';
    if (i === bad && text && text !== 0) cell.classList.add('bad') });
  return row }));

const HEIGHT = 34, WIDTH = 150, GAP = 250;
const shape = (kind, attributes, text) => {
  const made = document.createElementNS(find('map').namespaceURI, kind);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text) made.textContent = text;
  return made };

/* Who calls stands left of whom it calls: each node one column behind its last caller; rings are cut where they close. */
function columns(nodes, edges) {
  const depth = new Map(nodes.map(n => [n.id, 0]));
  for (let round = 0; round < 6; round++)
    for (const e of edges)
      if (e.client !== e.server) depth.set(e.server, Math.max(depth.get(e.server), Math.min(depth.get(e.client) + 1, 6)));
  const used = [...new Set(depth.values())].sort((a, b) => a - b);
  return used.map(d => nodes.filter(n => depth.get(n.id) === d)) }

/* The places on the way of each edge. One that passes columns has a place of its own there, so that it is not behind a node. */
function route(layers, edges) {
  const column = new Map(layers.flatMap((layer, x) => layer.map(id => [id, x]))), ways = new Map();
  for (const { client, server } of edges) {
    const key = client + ' ' + server, between = [];
    if (ways.has(key)) continue;
    for (let x = column.get(client) + 1; x < column.get(server); x++) {
      between.push(key + ' ' + x);
      layers[x].push(key + ' ' + x) }
    ways.set(key, [client, ...between, server]) }
  return ways }

/* Each column in the order of its callers, so that few lines cross. */
function place(layers, ways) {
  const rows = Math.max(1, ...layers.map(l => l.length)), placed = new Map(), callers = new Map();
  for (const way of ways.values())
    way.slice(1).forEach((id, i) => callers.set(id, [...callers.get(id) || [], way[i]]));
  layers.forEach((layer, x) => {
    const height = id => {
      const known = (callers.get(id) || []).filter(from => placed.has(from)).map(from => placed.get(from).y);
      return known.length ? known.reduce((sum, y) => sum + y, 0) / known.length : 0 };
    const order = new Map(layer.map(id => [id, height(id)]));
    layer.sort((a, b) => order.get(a) - order.get(b));
    layer.forEach((id, y) =>
      placed.set(id, { x: 10 + x * GAP, y: 20 + (y + (rows - layer.length) / 2) * (HEIGHT + 16) })) });
  return placed }

function draw(map) {
  const edges = map.edges.filter(e => e.directed), ids = new Set(edges.flatMap(e => [e.client, e.server]));
  const nodes = map.nodes.filter(n => ids.has(n.id)), svg = find('map');
  const layers = columns(nodes, edges).map(layer => layer.map(n => n.id)), ways = route(layers, edges);
  const placed = place(layers, ways), rows = Math.max(1, ...layers.map(l => l.length));
  svg.setAttribute('viewBox', `0 0 ${Math.max(800, layers.length * GAP - GAP + WIDTH + 20)} ${rows * (HEIGHT + 16) + 30}`);
  const step = (from, to) => {
    const a = placed.get(from), b = placed.get(to);
    const [x1, y1, x2, y2] = [a.x + WIDTH, a.y + HEIGHT / 2, b.x, b.y + HEIGHT / 2], middle = (x1 + x2) / 2;
    return `${x1} ${y1}C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}` };
  const lines = edges.filter(e => e.client !== e.server).map(e => {
    const way = ways.get(e.client + ' ' + e.server), asked = e.requests.reduce((sum, r) => sum + r.requests, 0);
    const errors = e.requests.reduce((sum, r) => sum + r.errors, 0);
    const line = shape('path', { d: 'M' + way.slice(1).map((id, i) => step(way[i], id)).join('L'),
      class: e.failures || errors ? 'edge failed' : 'edge', 'stroke-width': 1 + Math.log10(1 + e.connections + asked) });
    line.append(shape('title', {}, `${e.protocol}${e.port ? ' ' + e.port : ''}: ${e.connections} connections, ${asked} requests, `
      + `${errors + e.failures} failed, ${size(e.bytes_to_server + e.bytes_to_client)}`));
    return line });
  const boxes = nodes.map(n => {
    const p = placed.get(n.id), group = shape('g', { class: 'node' });
    const name = n.namespace ? n.namespace + '/' + n.name : n.name;
    group.append(shape('rect', { x: p.x, y: p.y, width: WIDTH, height: HEIGHT, rx: 8 }), shape('title', {}, `${n.kind} ${name}`),
      shape('text', { x: p.x + 10, y: p.y + 22 }, n.name.length > 18 ? n.name.slice(0, 17) + '\\u2026' : n.name));
    return group });
  svg.replaceChildren(...lines, ...boxes) }

async function show() {
  try {
    const health = await get('/api/v1/health'), live = health.flows.live;
    put('state', health.state, health.state === 'degraded');
    put('reasons', health.reasons.join(' '), true);
    put('tcp', live.tcp || 0); put('udp', live.udp || 0); put('requests', health.requests);
    put('lookups', health.lookups); put('lost', health.lost, health.lost > 0);
    const since = encodeURIComponent(new Date(Date.parse(health.time) - 300000).toISOString());
    const asked = await get(`/api/v1/requests?since=${since}&group_by=workload,role,protocol,operation,route&limit=10`);
    fill('asked', asked.groups.map(g => [g.workload, g.role === 'client' ? 'asks' : 'answers', g.protocol,
      [g.operation, g.route].filter(Boolean).join(' '), g.requests, share(g.error_share), time(g.p50_seconds),
      time(g.p99_seconds)]), 4, 5);
    const map = await get(`/api/v1/services/map?since=${since}&limit=40`);
    const names = new Map(map.nodes.map(n => [n.id, n.namespace ? n.namespace + '/' + n.name : n.name]));
    fill('edges', map.edges.slice(0, 10).map(e => [names.get(e.client), names.get(e.server),
      e.protocol + (e.port ? ' ' + e.port : ''), e.connections, e.failures, size(e.bytes_to_server + e.bytes_to_client),
      time(e.rtt_seconds)]), 3, 4);
    draw(map);
  } catch (error) { put('state', 'unreachable', true) }
  setTimeout(show, 3000);
}
show();
"""
