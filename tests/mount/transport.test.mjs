// What lies between the mount and the canister: HTTP/2 and HTTP/1.1 servers, proxies, a network that goes away, an end
// that does not wait for it.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import * as net from 'node:net';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually, networkArgs, pread, refused, run, seedBytes, Stage, tethered } from './harness.mjs';

const MIB = 2 ** 20;
const SIZE = 32 * MIB;
// How long the network stays away; `scripts/test --long` has more time.
const AWAY_MS = Number(process.env.CANISTERFS_TEST_AWAY_MS ?? 15_000);

let stage, network, sample;

before(async () => {
  stage = await Stage.open();
  network = await stage.network(['--demo', '--demo-size', `${SIZE}`]);
  sample = network.canisters.sample;
});
after(() => stage.close());
afterEach(async () => {
  await network.faults([]);
  await network.options({ queryMs: 0 });
});

const isRight = (got, offset) =>
  Buffer.isBuffer(got) && got.length > 0 && got.compare(seedBytes(1n, offset, got.length)) === 0;

// Every byte of the memory, by several readers at once.
async function assertWhole(mount, nReaders = 4) {
  const part = SIZE / nReaders;
  const read = async (start) => {
    for (let offset = start; offset < start + part; offset += 4 * MIB) {
      const got = await pread(mount.path('stable_memory'), offset, 4 * MIB);
      assert.ok(isRight(got, offset) && got.length === 4 * MIB, `at ${offset}: ${Buffer.isBuffer(got) ? 'wrong' : got}`);
    }
  };
  await Promise.all(Array.from({ length: nReaders }, (_, i) => read(i * part)));
}

async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

// A server of ours that forwards; closed, with all its connections, at the end.
async function listen(server, host = '127.0.0.1') {
  const sockets = new Set();
  server.on('connection', (socket) => {
    sockets.add(socket.on('error', () => {}));
    socket.once('close', () => sockets.delete(socket));
  });
  server.listen(0, host);
  await once(server, 'listening');
  stage.onClose(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((done) => server.close(done));
  });
  return server.address().port;
}

function relay(from, to) {
  from.pipe(to).pipe(from);
  for (const [one, other] of [[from, to], [to, from]]) {
    one.on('error', () => {});
    one.once('close', () => other.destroy());
  }
}

describe('a web server in between, with a certificate of our own authority', () => {
  let dir;

  const openssl = (...args) => run('openssl', args, { cwd: dir });

  before(async () => {
    dir = stage.dir;
    await writeFile(join(dir, 'alt'), 'subjectAltName=IP:127.0.0.1\n');
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
    await openssl('req', '-x509', ...key, '-subj', '/CN=Authority', '-days', '2', '-keyout', 'ca.key', '-out', 'ca.pem');
    await openssl('req', ...key, '-subj', '/CN=Server', '-keyout', 'server.key', '-out', 'server.csr');
    await openssl('x509', '-req', '-in', 'server.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial',
      '-days', '2', '-extfile', 'alt', '-out', 'server.pem');
  });

  // Resolves to the network as seen through it; its log has a line for each request: protocol, client's port, status.
  async function webServer(protocols) {
    for (let i = 1; ; i++) {
      try {
        return await startWebServer(protocols);
      } catch (error) {
        if (i === 5) throw error; // the port was free when it was chosen: somebody may have taken it
      }
    }
  }

  async function startWebServer(protocols) {
    const port = await freePort();
    const log = join(dir, `log-${port}`);
    const modules = ['mpm_event', 'authz_core', 'ssl', 'http2', 'proxy', 'proxy_http'];
    const conf = join(dir, `conf-${port}`);
    await writeFile(conf, [
      `ServerRoot ${dir}`, `ServerName 127.0.0.1`, `Listen 127.0.0.1:${port}`, `PidFile ${dir}/pid-${port}`,
      ...(process.getuid() === 0 ? ['User www-data', 'Group www-data'] : []),
      ...modules.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`),
      `ErrorLog ${dir}/error-${port}`, 'LogFormat "%H %{remote}p %s"', `TransferLog ${log}`,
      `Mutex pthread`, 'MaxKeepAliveRequests 0', 'KeepAliveTimeout 300',
      `Protocols ${protocols}`, 'SSLEngine on', 'SSLCertificateFile server.pem', 'SSLCertificateKeyFile server.key',
      `ProxyPass / ${network.url}/`, '',
    ].join('\n'));
    const child = spawn(...tethered('apache2', ['-X', '-f', conf]), {
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` },
    });
    const ended = once(child, 'exit');
    stage.onClose(async () => {
      child.kill('SIGTERM');
      await ended;
    });
    const isUp = () => new Promise((done) => {
      const socket = net.connect(port, '127.0.0.1');
      socket.once('connect', () => done(true)).once('error', () => done(false)).once('connect', () => socket.destroy());
    });
    await eventually(async () => {
      assert.equal(child.exitCode, null, `no server at port ${port}`);
      return isUp();
    });
    const lines = async () => (await readFile(log, 'utf8')).trimEnd().split('\n').map((line) => line.split(' '));
    return { url: `https://127.0.0.1:${port}`, root_key: network.root_key, lines };
  }

  const connections = (lines) => new Set(lines.map(([, port]) => port)).size;

  test('HTTP/2: all calls share the connection', async () => {
    const server = await webServer('h2 http/1.1');
    await network.options({ queryMs: 20 });
    const mount = await stage.mount(server, sample, ['-o', `ca_file=${join(dir, 'ca.pem')}`]);
    await assertWhole(mount);
    await mount.unmount();
    const lines = await server.lines();
    assert.ok(lines.every(([protocol, , status]) => protocol === 'HTTP/2.0' && status === '200'), JSON.stringify(lines));
    assert.ok(lines.length > 20, `${lines.length} requests`);
    // One more asks, when the mount starts, what anonymous callers get.
    assert.ok(connections(lines) <= 2, `${connections(lines)} connections for ${lines.length} requests`);
  });

  test('HTTP/1.1: never more connections than calls at once', async () => {
    const server = await webServer('http/1.1');
    await network.options({ queryMs: 20 });
    const args = ['-o', `ca_file=${join(dir, 'ca.pem')},max_inflight=4`];
    const mount = await stage.mount(server, sample, args);
    await assertWhole(mount);
    await mount.unmount();
    const lines = await server.lines();
    assert.ok(lines.every(([protocol, , status]) => protocol === 'HTTP/1.1' && status === '200'), JSON.stringify(lines));
    assert.ok(lines.length > 20, `${lines.length} requests`);
    // 4 queries, and at the start questions to the state tree and as an anonymous caller.
    assert.ok(connections(lines) >= 4 && connections(lines) <= 8, `${connections(lines)} connections`);
  });

  test('without the authority it is not trusted; a file that holds none is refused, whatever the URL', async () => {
    const server = await webServer('h2 http/1.1');
    const point = join(dir, 'nowhere');
    await run('mkdir', ['-p', point]);
    const untrusted = await refused(['-f', ...networkArgs(server), '-o', 'timeout=5s', sample, point]);
    assert.equal(untrusted.code, 3, untrusted.stderr);
    assert.match(untrusted.stderr, /certificate.* \(a network with an authority of its own needs -o ca_file=FILE\)$/m);
    await writeFile(join(dir, 'empty'), '');
    await writeFile(join(dir, 'garbage'), 'garbage\n');
    await writeFile(join(dir, 'broken'), (await readFile(join(dir, 'ca.pem'), 'utf8')).slice(0, 300));
    for (const name of ['missing', 'empty', 'garbage', 'broken', '.']) {
      for (const url of [server.url, network.url]) {
        for (const root of [`root_key=${network.root_key}`, 'insecure_root_key']) {
          const args = ['-f', '-o', `network=${url},${root},ca_file=${join(dir, name)}`, sample, point];
          const { code, stderr } = await refused(args);
          assert.equal(code, 2, `${name}: ${stderr}`);
          assert.match(stderr, /certificate file/, name);
        }
      }
    }
  });
});

// Every byte takes at least 11 reads, and hardly more when the network is slow: the 15th may never come.
describe('HTTP/2 faults', () => {
  for (const [what, rules, everyByte] of [
    ['RST_STREAM now and then', [{ kind: 'rst_stream', nth: 3 }, { kind: 'rst_stream', nth: 7, in_body: true }], true],
    ['REFUSED_STREAM now and then', [{ kind: 'rst_stream', nth: 2, code: 7 }, { kind: 'rst_stream', nth: 9, code: 7 }], true],
    ['GOAWAY now and then', [{ kind: 'goaway', nth: 4 }, { kind: 'goaway', nth: 10 }], true],
    ['connections closed after an answer', [{ kind: 'close', nth: 3 }, { kind: 'close', nth: 9 }], true],
    ['every third request disturbed', [{ kind: 'random', seed: 5, rate: 0.3, kinds: ['rst_stream', 'goaway', 'reset', 'close'] }], false],
  ]) {
    test(what, async () => {
      const faults = join(stage.dir, 'faults.json');
      await writeFile(faults, JSON.stringify(rules.map((rule) => (everyByte ? { method: 'stable_read_at', ...rule } : rule))));
      const log = join(stage.dir, 'requests.json');
      const own = await Stage.open();
      try {
        const secure = await own.network(['--demo', '--demo-size', `${SIZE}`, '--http2', '--faults', faults, '--log', log, '--query-ms', '10']);
        const mount = await own.mount(secure, secure.canisters.sample, ['-o', `ca_file=${secure.ca},timeout=10s`]);
        if (everyByte) {
          await assertWhole(mount);
        } else {
          for (let offset = 0; offset < SIZE; offset += MIB) {
            const got = await pread(mount.path('stable_memory'), offset, MIB);
            if (Buffer.isBuffer(got)) assert.ok(isRight(got, offset) && got.length === MIB, `wrong at ${offset}`);
            else assert.ok(['EHOSTUNREACH', 'EPROTO', 'ETIMEDOUT', 'EIO'].includes(got), got);
          }
        }
        await mount.unmount();
        const kinds = new Set(rules.flatMap(({ kind, kinds: some }) => some ?? [kind]));
        const met = async () => (await readFile(log, 'utf8')).match(new RegExp([...kinds].join('|'), 'g')) ?? [];
        // A request is logged when its connection is through with it.
        await eventually(async () => (await met()).length >= (everyByte ? rules.length : 1));
      } finally {
        await own.close();
        await rm(log, { force: true });
      }
    });
  }
});

describe('proxies', () => {
  const SECRET = 'user:geheim';
  const AUTHORIZATION = `Basic ${Buffer.from(SECRET).toString('base64')}`;
  let port, seen;

  const isAllowed = ({ headers }) => headers['proxy-authorization'] === AUTHORIZATION;

  // Forwards plain requests and makes tunnels, for who has the password.
  before(async () => {
    const server = createServer((incoming, outgoing) => {
      seen.push(`${incoming.method} ${incoming.url}`);
      if (!isAllowed(incoming)) return outgoing.writeHead(407, { 'proxy-authenticate': 'Basic' }).end();
      const { method, headers } = incoming;
      const onward = request(incoming.url, { method, headers: { ...headers, 'proxy-authorization': '' } }, (answer) => {
        outgoing.writeHead(answer.statusCode, answer.headers);
        answer.pipe(outgoing);
      });
      incoming.pipe(onward.on('error', () => outgoing.destroy()));
    });
    server.on('connect', (incoming, socket) => {
      seen.push(`CONNECT ${incoming.url}`);
      if (!isAllowed(incoming)) return socket.end('HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n');
      const { hostname, port: to } = new URL(`http://${incoming.url}`);
      const onward = net.connect(Number(to), hostname, () => socket.write('HTTP/1.1 200 OK\r\n\r\n'));
      relay(socket, onward);
    });
    port = await listen(server);
  });

  const withProxy = (name, user = SECRET) => ({ [name]: `http://${user ? `${user}@` : ''}127.0.0.1:${port}` });

  async function mountAndRead(through, args, env) {
    seen = [];
    const own = await Stage.open();
    try {
      const mount = await own.mount(through, through.canisters.sample, ['-o', 'log_level=trace', ...args], { env });
      assert.ok(isRight(await pread(mount.path('stable_memory'), 5 * MIB, MIB), 5 * MIB));
      const told = mount.stderr + (await readFile(mount.path('.canisterfs', 'status'), 'utf8'));
      await mount.unmount();
      assert.ok(!told.includes('geheim') && !told.includes(AUTHORIZATION.slice(6)), 'nothing tells the password');
    } finally {
      await own.close();
    }
  }

  test('plain requests are forwarded', async () => {
    await mountAndRead(network, [], withProxy('http_proxy'));
    assert.ok(seen.length > 3 && seen.every((line) => line.startsWith(`POST ${network.url}/api/`)), seen.join('\n'));
  });

  test('https goes through a tunnel, with HTTP/2 inside', async () => {
    const secure = await stage.network(['--demo', '--demo-size', '8M', '--http2']);
    await mountAndRead(secure, ['-o', `ca_file=${secure.ca}`], withProxy('https_proxy'));
    const { host } = new URL(secure.url);
    assert.ok(seen.length > 0 && seen.length <= 2, seen.join('\n'));
    assert.ok(seen.every((line) => line === `CONNECT ${host}`), seen.join('\n'));
  });

  test('no_proxy and proxy=none', async () => {
    await mountAndRead(network, [], { ...withProxy('http_proxy'), no_proxy: '127.0.0.1' });
    assert.deepEqual(seen, []);
    await mountAndRead(network, ['-o', 'proxy=none'], withProxy('all_proxy'));
    assert.deepEqual(seen, []);
  });

  test('the wrong password, or no proxy there: refused in words that do not tell it', async () => {
    const point = join(stage.dir, 'no-proxy');
    await run('mkdir', ['-p', point]);
    const secure = { ...network, url: network.url.replace('http:', 'https:') };
    const dead = await freePort();
    for (const [through, url] of [
      [network, `http://user:falsch@127.0.0.1:${port}`],
      [secure, `http://user:falsch@127.0.0.1:${port}`],
      [network, `http://user:falsch@127.0.0.1:${dead}`],
      [network, 'nosuch://user:falsch@127.0.0.1:1'],
    ]) {
      seen = [];
      process.env.all_proxy = url;
      const { code, stderr } = await refused(['-f', ...networkArgs(through), '-o', 'timeout=3s,log_level=trace', sample, point]);
      delete process.env.all_proxy;
      assert.equal(code, 3, stderr);
      assert.ok(!stderr.includes('falsch'), stderr);
    }
    const { code, stderr } = await refused(['-f', ...networkArgs(network), '-o', `proxy=http://127.0.0.1:${port}`, sample, point]);
    assert.equal(code, 3);
    assert.match(stderr, /407/, 'the option is taken');
  });
});

test('IPv6: a URL with [::1]', async () => {
  const { port } = new URL(network.url);
  const server = net.createServer((socket) => relay(socket, net.connect(Number(port), '127.0.0.1')));
  const six = await listen(server, '::1');
  const mount = await stage.mount({ ...network, url: `http://[::1]:${six}` }, sample);
  assert.ok(isRight(await pread(mount.path('stable_memory'), 100, MIB), 100));
  await mount.unmount();
});

describe('a network that wants less', () => {
  test('max_inflight is never exceeded, however well it goes', async () => {
    const own = await Stage.open();
    try {
      const strict = await own.network(['--demo', '--demo-size', `${SIZE}`, '--query-ms', '10']);
      const mount = await own.mount(strict, strict.canisters.sample, ['-o', 'max_inflight=3']);
      await strict.options({ maxConcurrent: 3 });
      const log = await strict.requestsDuring(() => assertWhole(mount));
      assert.deepEqual(log.filter(({ status }) => status === 429), [], 'a fourth would have been refused');
      assert.equal((await mount.json('stats')).calls.in_flight_limit, 3);
      await mount.unmount();
    } finally {
      await own.close();
    }
  });

  test('429 with Retry-After: the pause is kept to, and nobody sees it', async () => {
    await network.options({ queryMs: 20 });
    const mount = await stage.mount(network, sample, ['-o', 'timeout=30s']);
    await network.faults([{ kind: 'http', status: 429, retry_after: 2, method: 'stable_read_at', nth: 4 }]);
    const started = Date.now();
    await assertWhole(mount);
    assert.ok(Date.now() - started > 1500, 'the pause was kept to');
    await mount.unmount();
  });
});

describe('the network goes away and comes back', () => {
  const OUTAGE = ['ETIMEDOUT', 'EHOSTUNREACH'];

  // Readers go on while `away` keeps the network away; each of their reads is right or an errno of an outage.
  async function survive(mount, away, back) {
    let over = false;
    const outcomes = new Set();
    const read = async (first) => {
      for (let i = first; !over; i += 7) {
        const offset = (i * 97 * 65536) % (SIZE - MIB);
        const got = await pread(mount.path('stable_memory'), offset, 65536);
        if (Buffer.isBuffer(got)) assert.ok(isRight(got, offset), `wrong at ${offset}`);
        else assert.ok(OUTAGE.includes(got), got);
        outcomes.add(Buffer.isBuffer(got) ? 'right' : got);
        await sleep(20);
      }
    };
    const readers = [read(1), read(2), read(3)];
    await sleep(300);
    await away();
    await sleep(AWAY_MS);
    outcomes.clear();
    await back();
    await eventually(() => outcomes.has('right'));
    over = true;
    await Promise.all(readers);
    await eventually(async () => isRight(await pread(mount.path('stable_memory'), SIZE - 4096, 4096), SIZE - 4096));
    await assertWhole(mount);
  }

  const nFds = async (mount) => (await readdir(`/proc/${mount.pid}/fd`)).length;

  test('stopped, connections and all', async () => {
    const own = await Stage.open();
    try {
      const other = await own.network(['--demo', '--demo-size', `${SIZE}`]);
      const mount = await own.mount(other, other.canisters.sample, ['-o', 'timeout=2s,cache_size=4M']);
      const before = await nFds(mount);
      await survive(mount, () => process.kill(other.pid, 'SIGSTOP'), () => process.kill(other.pid, 'SIGCONT'));
      assert.ok((await nFds(mount)) < before + 64, 'no connection is left behind');
      await mount.unmount();
    } finally {
      await own.close();
    }
  });

  test('ended, and another at the same address', async () => {
    const own = await Stage.open();
    const args = ['--demo', '--demo-size', `${SIZE}`, '--state', join(own.dir, 'state')];
    try {
      const first = await Stage.open();
      own.onClose(() => first.close());
      const other = await first.network(args);
      const mount = await own.mount(other, other.canisters.sample, ['-o', 'timeout=2s,cache_size=4M']);
      const { port } = new URL(other.url);
      await survive(mount, () => first.close(), () => own.network([...args, '--port', port]));
      await mount.unmount();
    } finally {
      await own.close();
    }
  });
});

describe('unmounted while nobody waits any more for what the network does not answer', () => {
  // Readers in processes that are killed; their loads stall.
  async function stall(mount, n, threads) {
    await network.faults([{ kind: 'stall', method: 'stable_read_at' }]);
    const file = await open(mount.path('stable_memory'));
    const readers = [];
    for (let i = 0; i < n; i++) {
      const dd = ['of=/dev/null', 'bs=64k', `skip=${80 + 20 * i}`, 'count=1'];
      const reader = spawn('dd', dd, { stdio: [file.fd, 'ignore', 'ignore'] });
      stage.onClose(() => reader.kill('SIGKILL'));
      readers.push(reader);
      // The last of all threads may be busy with what the kernel reads ahead: then nothing more is asked.
      if (i + 1 < threads) await network.untilAsked({ method: 'stable_read_at' }, i + 1);
      else await sleep(300);
    }
    for (const reader of readers) {
      const ended = once(reader, 'exit');
      reader.kill('SIGKILL');
      assert.deepEqual(await ended, [null, 'SIGKILL']);
    }
    return file;
  }

  for (const [what, n, threads, lazy] of [
    ['the process ends at once', 1, 128, false],
    ['also after a lazy unmount, when the last file is closed', 1, 128, true],
    ['also when every thread is busy', 2, 2, false],
  ]) {
    test(what, async () => {
      const mount = await stage.mount(network, sample, ['-o', `timeout=60s,max_threads=${threads}`]);
      const file = await stall(mount, n, threads);
      if (!lazy) await file.close();
      await run('fusermount3', [lazy ? '-uz' : '-u', mount.point]);
      if (lazy) await file.close();
      const unmounted = Date.now();
      assert.deepEqual(await mount.exited, { code: 0, signal: null });
      const took = Date.now() - unmounted;
      assert.ok(took < 10_000, `took ${took} ms`); // not until a stall is found, after 12 s
    });
  }
});
