// HTTP/2 between a real client and a real server: parallel streams, trailers, a push, resets, headers that need CONTINUATION.
// usage: node node_streams.js server | node node_streams.js client PORT BATCHES; both print a JSON line.
// BATCHES: [[{headers, body: size, cancelAfter: ms}, ...], ...], the requests of a batch at the same time.
const http2 = require('http2');
const [, , role, port, batches] = process.argv;

function serve() {
  const server = http2.createServer({ maxHeaderListPairs: 2000, maxSessionMemory: 100 });
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {});
    const path = headers[':path'].split('?')[0];
    if (path === '/reset') return stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
    if (path === '/slow') return;
    if (path === '/with-push' && stream.pushAllowed) {
      stream.pushStream({ ':path': '/pushed.css' }, (error, push) => { push.respond({ ':status': 200 }); push.end('body{}'); });
    }
    if (path === '/trailers') {
      stream.respond({ ':status': 200 }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': 'secret' }));
      return stream.end('with trailers');
    }
    if (path === '/hint') stream.additionalHeaders({ ':status': 103, link: '</style.css>; rel=preload' });
    let size = 0;
    stream.on('data', (piece) => { size += piece.length; });
    stream.on('end', () => {
      stream.respond({ ':status': path === '/missing' ? 404 : path === '/broken' ? 502 : 200, 'x-big': 'b'.repeat(path === '/big' ? 40000 : 1) });
      stream.end(String(size));
    });
  });
  server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ port: server.address().port })));
}

function ask(session, { headers, body, cancelAfter }) {
  return new Promise((resolve) => {
    const stream = session.request(headers, { endStream: body === undefined });
    const seen = { method: headers[':method'] || 'GET', path: headers[':path'].split('?')[0], status: 0, code: 0 };
    stream.on('response', (answer) => { seen.status = answer[':status']; });
    stream.on('data', () => {});
    stream.on('error', () => {});
    stream.on('close', () => { seen.code = stream.rstCode; resolve(seen); });
    if (body !== undefined) stream.end('x'.repeat(body));
    if (cancelAfter) setTimeout(() => stream.close(http2.constants.NGHTTP2_CANCEL), cancelAfter);
  });
}

async function call() {
  const session = http2.connect(`http://127.0.0.1:${port}`, { maxHeaderListPairs: 2000 });
  const seen = [];
  session.on('stream', (stream, headers) => {
    seen.push({ method: 'GET', path: headers[':path'], status: 200, code: 0 });
    stream.resume();
  });
  for (const batch of JSON.parse(batches)) seen.push(...await Promise.all(batch.map((one) => ask(session, one))));
  session.close(() => console.log(JSON.stringify(seen)));
}

if (role === 'server') serve(); else call();
