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
import { startNetwork } from './network.mjs';

const HELP = `usage: scripts/replica [options]

A local Internet Computer network for development and tests. Stays in the foreground and prints one JSON line when ready:
{"url", "root_key" (hex DER), "canisters": {name: id}, "identity": PEM file of the demo canisters' controller}

  --port N            port on 127.0.0.1 (default: a free one)
  --state DIR         keep keys and canisters there, and find them again
  --seed TEXT         derive the keys from a text: the same in every run
  --demo              install the demo canisters: sample, sparse, blank, hello
  --demo-size SIZE    bytes of data in sample (default 64M)
  --query-ms MS       latency of queries
  --update-ms MS      latency of updates
  --max-concurrent N  more requests at once than this get HTTP 429
  --faults FILE       fault rules, a JSON list (see tests/replica/faults.mjs)
  --log FILE          one JSON line per request
`;

const UNITS = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 };

function parseSize(text) {
  const match = /^(\d+)([KMG]?)$/.exec(text);
  if (!match) throw new Error(`'${text}' is not a size, such as 64M`);
  return Number(match[1]) * UNITS[match[2]];
}

function parseNumber(name, text) {
  if (!/^\d+$/.test(text)) throw new Error(`--${name}: '${text}' is not a number`);
  return Number(text);
}

function parseOptions(argv) {
  const text = { type: 'string' };
  const { values } = parseArgs({
    args: argv,
    options: {
      port: { ...text, default: '0' },
      state: text,
      seed: text,
      demo: { type: 'boolean', default: false },
      'demo-size': { ...text, default: '64M' },
      'query-ms': { ...text, default: '0' },
      'update-ms': { ...text, default: '0' },
      'max-concurrent': { ...text, default: '0' },
      faults: text,
      log: text,
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  for (const name of ['port', 'query-ms', 'update-ms', 'max-concurrent']) values[name] = parseNumber(name, values[name]);
  values['demo-size'] = parseSize(values['demo-size']);
  return values;
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

// /_test/*: not part of the Internet Computer. Tests change faults and latencies here, and read the request log.
function testEndpoint(network, faults) {
  const actions = {
    '/_test/log': () => network.log,
    '/_test/faults': (body) => faults.replace(JSON.parse(body)),
    '/_test/options': (body) => Object.assign(network.options, JSON.parse(body)),
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
  const faults = new Faults(options.faults ? JSON.parse(readFileSync(options.faults, 'utf8')) : []);
  const dir = options.state ?? mkdtempSync(join(tmpdir(), 'ic-replica-'));
  mkdirSync(dir, { recursive: true });
  const network = await startNetwork({
    port: options.port,
    stateDir: options.state ?? null,
    seed: options.seed ?? null,
    queryMs: options['query-ms'],
    updateMs: options['update-ms'],
    maxConcurrent: options['max-concurrent'],
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
  };
  process.stdout.write(`${JSON.stringify(ready)}\n`);
}

main().catch((error) => {
  process.stderr.write(`replica: ${error.message}\n`);
  process.exit(1);
});
