// Command line of the local network: options, the ready line, the endpoints for tests, a clean end.
import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto';
import { appendFileSync, chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Principal } from '@icp-sdk/core/principal';
import { installDemo } from './demo.mjs';
import { Faults } from './faults.mjs';
import { OPTIONS, startNetwork } from './network.mjs';

const HELP = `usage: scripts/replica [options]

A local Internet Computer network for development and tests. Stays in the foreground and prints one JSON line when ready:
{"url", "root_key" (hex DER), "canisters": {name: id}, "identity": PEM file of the demo canisters' controller, and with
--http2 "ca": PEM file of the authority to trust}

  --port N            port on 127.0.0.1 (default: a free one)
  --http2             HTTP/2 and HTTP/1.1 over TLS, with an authority made at start
  --state DIR         keep keys and canisters there, and find them again
  --seed TEXT         derive the keys from a text: the same in every run
  --demo              install the demo canisters: sample, sparse, blank, hello, motoko, distrikt, dscvr
  --demo-size SIZE    bytes of data in sample (default 64M)
  --log FILE          one JSON line per request

What a subnet does:
  --block-ms MS       a block of update calls every so often (default 1000; 0: they execute at once)
  --block-bytes SIZE  how much of them a block takes (default 4M)
  --queue-bytes SIZE  update calls that wait beyond this get HTTP 503 (default 64M)
  --history-bytes SIZE  replies that are kept for read_state; beyond them the oldest become done (default 256M)
  --query-ms MS       latency of queries
  --update-ms MS      latency of updates, before a block may take them
  --call-timeout-ms MS  a synchronous call that takes longer is answered with 202 (default 10000)
  --instruction-percent N  instruction limits, as a percentage of the real ones (default 100)
  --subnet-memory SIZE  beyond this for all canisters together no snapshot is taken or loaded (default 2048G)
  --checkpoint-ms MS  a snapshot can be loaded on another canister after the next checkpoint (default 0: at once)
  --flat-ranges       delegate canister ranges in the older, flat form everywhere
  --skew-ms MS        the network's clock is ahead by this (behind: --skew-ms=-MS)

What boundary nodes do:
  --max-concurrent N  more requests at once than this get HTTP 429
  --rate-limit N      more requests per second of one client address get HTTP 429 with Retry-After
  --bandwidth SIZE    bytes per second of all answers together

What goes wrong:
  --faults FILE       fault rules, a JSON list (see tests/replica/faults.mjs)
  --fault-seed N      random faults, the same ones for the same seed,
  --fault-rate R      in this part of the requests (default 0.1)
  --fault-kinds A,B   of these kinds only
`;

const UNITS = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 };

function parseSize(text) {
  const match = /^(\d+)([KMG]?)$/.exec(text);
  if (!match) throw new Error(`'${text}' is not a size, such as 64M`);
  return Number(match[1]) * UNITS[match[2]];
}

function parseNumber(text) {
  if (!/^\d+$/.test(text)) throw new Error(`'${text}' is not a number`);
  return Number(text);
}

function parseSigned(text) {
  if (!/^-?\d+$/.test(text)) throw new Error(`'${text}' is not a whole number`);
  return Number(text);
}

function parseRate(text) {
  const rate = /^(\d*\.)?\d+$/.test(text) ? Number(text) : NaN;
  if (!(rate <= 1)) throw new Error(`'${text}' is not a rate, from 0 to 1`);
  return rate;
}

const text = (value) => value;

/** Options of the command line: how their text is read (none: a switch), and the default. */
const COMMAND = {
  port: [parseNumber, '0'],
  http2: [],
  state: [text],
  seed: [text],
  demo: [],
  'demo-size': [parseSize, '64M'],
  log: [text],
  'block-ms': [parseNumber, '1000'],
  'block-bytes': [parseSize, '4M'],
  'queue-bytes': [parseSize, '64M'],
  'history-bytes': [parseSize, '256M'],
  'query-ms': [parseNumber, '0'],
  'update-ms': [parseNumber, '0'],
  'call-timeout-ms': [parseNumber, '10000'],
  'instruction-percent': [parseNumber, '100'],
  'subnet-memory': [parseSize, '2048G'],
  'checkpoint-ms': [parseNumber, '0'],
  'flat-ranges': [],
  'skew-ms': [parseSigned, '0'],
  'max-concurrent': [parseNumber, '0'],
  'rate-limit': [parseNumber, '0'],
  bandwidth: [parseSize, '0'],
  faults: [text],
  'fault-seed': [parseNumber],
  'fault-rate': [parseRate, '0.1'],
  'fault-kinds': [(list) => list.split(',')],
  help: [],
};

/** Those that are options of the network, under their own names there. */
const NETWORK_OPTIONS = Object.keys(OPTIONS).map((own) => [own.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`), own]);

function parseOptions(argv) {
  const options = Object.fromEntries(
    Object.entries(COMMAND).map(([name, [parse, initial]]) => {
      const given = initial === undefined ? {} : { default: initial };
      return [name, parse ? { type: 'string', ...given } : { type: 'boolean', default: false }];
    }),
  );
  options.help.short = 'h';
  const { values } = parseArgs({ args: argv, options });
  for (const [name, value] of Object.entries(values)) {
    const [parse] = COMMAND[name];
    try {
      if (parse) values[name] = parse(value);
    } catch (error) {
      throw new Error(`--${name}: ${error.message}`);
    }
  }
  return values;
}

/** Rules of the file first, then the schedule by seed. */
function faultRules(options) {
  const rules = options.faults ? JSON.parse(readFileSync(options.faults, 'utf8')) : [];
  const { 'fault-seed': seed, 'fault-rate': rate, 'fault-kinds': kinds } = options;
  return seed === undefined ? rules : [...rules, { kind: 'random', seed, rate, ...(kinds && { kinds }) }];
}

// The controller's Ed25519 key as a PEM file, made on first use. Returns its file name and principal.
function ownerIdentity(dir) {
  const file = join(dir, 'identity.pem');
  if (!existsSync(file)) {
    const { privateKey } = generateKeyPairSync('ed25519');
    writeFileSync(file, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
    chmodSync(file, 0o600);
  }
  const key = createPublicKey(createPrivateKey(readFileSync(file)));
  const der = key.export({ type: 'spki', format: 'der' });
  return { file, principal: Principal.selfAuthenticating(new Uint8Array(der)).toUint8Array() };
}

function caFile(dir, pem) {
  const file = join(dir, 'ca.pem');
  writeFileSync(file, pem);
  return file;
}

// /_test/*: not part of the Internet Computer. Tests change faults, options and nodes here, read the request log and
// what is under way.
function testEndpoint(network, faults) {
  const actions = {
    '/_test/log': () => network.log,
    '/_test/active': () => network.server.active,
    '/_test/faults': (body) => faults.replace(JSON.parse(body)),
    '/_test/options': (body) => network.setOptions(JSON.parse(body)),
    '/_test/rotate_nodes': () => network.rotateNodes(),
  };
  return async (path, body) => {
    if (!actions[path]) return { status: 404, body: 'no such test endpoint' };
    try {
      return { status: 200, body: JSON.stringify(actions[path](body) ?? null) };
    } catch (error) {
      return { status: 400, body: error.message };
    }
  };
}

function writeLog(network, file) {
  const push = network.log.push.bind(network.log);
  network.log.push = (entry) => {
    appendFileSync(file, `${JSON.stringify(entry)}\n`);
    return push(entry);
  };
}

async function main() {
  const options = parseOptions(process.argv.slice(2));
  if (options.help) {
    process.stdout.write(HELP);
    return;
  }
  const faults = new Faults(faultRules(options));
  const dir = options.state ?? mkdtempSync(join(tmpdir(), 'ic-replica-'));
  mkdirSync(dir, { recursive: true });
  const network = await startNetwork({
    port: options.port,
    stateDir: options.state ?? null,
    seed: options.seed ?? null,
    http2: options.http2,
    ...Object.fromEntries(NETWORK_OPTIONS.map(([name, own]) => [own, Number(options[name])])),
    faults,
  });
  network.testEndpoint = testEndpoint(network, faults);
  if (options.log) writeLog(network, options.log);

  const stop = async () => {
    if (options.state) await network.save();
    await network.stop();
    if (!options.state) rmSync(dir, { recursive: true, force: true });
    process.exit(0);
  };
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);

  const owner = ownerIdentity(dir);
  const namesFile = join(dir, 'canisters.json');
  let canisters = existsSync(namesFile) ? JSON.parse(readFileSync(namesFile, 'utf8')) : {};
  if (options.demo && !canisters.sample) {
    const wasmDir = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '.build', 'canisters');
    canisters = await installDemo(network, owner.principal, wasmDir, { size: options['demo-size'], seed: 1 });
    if (options.state) await network.save(); // before the names: a name must never lead to nothing
    writeFileSync(namesFile, JSON.stringify(canisters));
  }

  const ready = {
    url: network.url,
    root_key: Buffer.from(network.rootKeyDer).toString('hex'),
    canisters,
    identity: owner.file,
    ...(network.ca && { ca: caFile(dir, network.ca) }),
  };
  process.stdout.write(`${JSON.stringify(ready)}\n`);
}

main().catch((error) => {
  process.stderr.write(`replica: ${error.message}\n`);
  process.exit(1);
});
