// Who the mount is: every key file that the usual tools write, passwords, names in the stores of icp-cli and dfx,
// delegations; compared with node's crypto, the `icp` command and the local network.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { chmod, copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { HttpAgent, SignIdentity } from '@icp-sdk/core/agent';
import { DelegationChain, Ed25519KeyIdentity } from '@icp-sdk/core/identity';
import { Principal } from '@icp-sdk/core/principal';
import { delegated, hex, identityOf, inFuture, makeIdentity } from '../replica/test/wire_fixture.mjs';
import { eventually, networkArgs, pread, program, refused, run, Stage, top } from './harness.mjs';
import { newPoint } from './process.mjs';
import { ShapedCanister } from './shapes.mjs';

const vectors = join(top, 'tests', 'data', 'vectors');
const icpBinary = join(dirname(createRequire(import.meta.url).resolve('@icp-sdk/icp-cli-linux-x64/package.json')), 'bin/icp');

let stage, home, env;

before(async () => {
  stage = await Stage.open();
  home = join(stage.dir, 'home');
  await mkdir(home);
  env = { ...process.env, HOME: home, DO_NOT_TRACK: '1', NO_COLOR: '1' };
  for (const name of ['ICP_HOME', 'XDG_DATA_HOME', 'DFX_CONFIG_ROOT']) delete env[name];
});
after(() => stage.close());

// --whoami: { code, out, err }.
async function whoami(options, { cwd = home } = {}) {
  const child = spawn(program, ['--whoami', ...(options ? ['-o', options] : [])], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env,
    cwd,
  });
  let out = '';
  let err = '';
  child.stdout.on('data', (chunk) => (out += chunk));
  child.stderr.on('data', (chunk) => (err += chunk));
  const [code] = await once(child, 'close');
  return { code, out, err };
}

async function assertIs(options, principal) {
  const { code, out, err } = await whoami(options);
  assert.deepEqual({ code, out, err }, { code: 0, out: `${principal}\n`, err: '' }, options);
}

async function assertRefused(options, words) {
  const { code, out, err } = await whoami(options);
  assert.equal(code, 2, `${options}: ${err}`);
  assert.equal(out, '');
  assert.match(err, words);
  assert.equal(err.trimEnd().split('\n').length, 1, `one line: ${err}`);
  return err;
}

const derOf = (key) => new Uint8Array(createPublicKey(key).export({ type: 'spki', format: 'der' }));
const principalOf = (der) => Principal.selfAuthenticating(der).toText();

async function keyFile(name, text) {
  const file = join(stage.dir, name);
  await writeFile(file, text, { mode: 0o600 });
  return file;
}

const icp = async (...args) => (await run(icpBinary, args, { env, cwd: home })).stdout.trim();
const openssl = (...args) => run('openssl', args, { cwd: stage.dir });

describe('key files', () => {
  test('the vectors give the principals they state', async () => {
    const { files } = JSON.parse(readFileSync(join(vectors, 'pem', 'index.json'), 'utf8'));
    const password = await keyFile('swordfish', 'swordfish');
    for (const [name, expected] of Object.entries(files)) {
      const file = await keyFile(name, await readFile(join(vectors, 'pem', name)));
      const der = expected.match(/^public key DER (.*)$/)?.[1];
      const principal = der ? principalOf(Buffer.from(der, 'hex')) : expected.split(' ')[0];
      if (/rejected|told from outside/.test(expected)) await assertRefused(`identity=${file}`, /curve/);
      else await assertIs(`identity=${file},password_file=${password}`, principal);
    }
  });

  test('what OpenSSL writes', async () => {
    const kinds = {
      ed25519: ['genpkey', '-algorithm', 'ed25519'],
      k256: ['ecparam', '-name', 'secp256k1', '-genkey'],
      'k256 without parameters': ['ecparam', '-name', 'secp256k1', '-genkey', '-noout'],
      'k256 with a compressed point': ['ecparam', '-name', 'secp256k1', '-genkey', '-conv_form', 'compressed'],
      p256: ['ecparam', '-name', 'prime256v1', '-genkey'],
      'p256 in PKCS#8': ['genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256'],
      'k256 in PKCS#8': ['genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:secp256k1'],
    };
    const ciphers = {
      default: [],
      'aes-128': ['-v2', 'aes-128-cbc'],
      'sha512, 100000 times': ['-v2prf', 'hmacWithSHA512', '-iter', '100000'],
      'sha1, 3des': ['-v2', 'des3', '-v2prf', 'hmacWithSHA1'],
      scrypt: ['-scrypt'],
      'scrypt, aes-192': ['-scrypt', '-scrypt_N', '8192', '-v2', 'aes-192-cbc'],
      pbes1: ['-v1', 'PBE-SHA1-3DES'],
    };
    const password = await keyFile('pw', 'open sesame\nthe second line is none of it\n');
    const wrong = await keyFile('wrong', 'open barley');
    for (const [kind, args] of Object.entries(kinds)) {
      const file = await keyFile(`${kind}.pem`, '');
      await openssl(...args, '-out', file);
      const principal = principalOf(derOf(createPrivateKey(await readFile(file))));
      await assertIs(`identity=${file}`, principal);
      for (const [cipher, words] of Object.entries(ciphers)) {
        const locked = await keyFile(`${kind} ${cipher.replaceAll(/\W/g, '-')}.pem`, '');
        await openssl('pkcs8', '-topk8', '-in', file, '-out', locked, '-passout', 'pass:open sesame', ...words);
        await assertIs(`identity=${locked},password_file=${password}`, principal);
        if (kind === 'ed25519') await assertRefused(`identity=${locked},password_file=${wrong}`, /wrong password/);
      }
      if (kind === 'ed25519') continue;
      for (const cipher of ['-aes256', '-des3']) {
        const old = await keyFile(`${kind}${cipher}.pem`, '');
        await openssl('ec', '-in', file, '-out', old, cipher, '-passout', 'pass:open sesame');
        assert.match(await readFile(old, 'utf8'), /DEK-Info/);
        await assertIs(`identity=${old},password_file=${password}`, principal);
        await assertRefused(`identity=${old},password_file=${wrong}`, /wrong password/);
      }
    }
  });

  test('what cannot be used is named, once', async () => {
    const pem = (type, options) => generateKeyPairSync(type, options).privateKey.export({ type: 'pkcs8', format: 'pem' });
    const ed = pem('ed25519');
    const { publicKey } = generateKeyPairSync('ed25519');
    const cases = [
      [pem('rsa', { modulusLength: 2048 }), /it is an RSA key/],
      [pem('ec', { namedCurve: 'P-384' }), /an ECDSA key on curve P-384/],
      [pem('x25519'), /X25519/],
      [pem('ed448'), /Ed448/],
      [publicKey.export({ type: 'spki', format: 'pem' }), /holds a public key/],
      ['-----BEGIN CERTIFICATE-----\nMAAA\n-----END CERTIFICATE-----\n', /holds a certificate/],
      [ed + ed, /several private keys/],
      [ed.slice(0, 60), /is cut/],
      [ed.replace(/(.{40})\n-----END/, '\n-----END'), /damaged/],
      ['', /no PEM private key/],
      ['x'.repeat(1 << 20), /too large/],
    ];
    for (const [text, words] of cases) {
      const file = await keyFile('odd.pem', text);
      const err = await assertRefused(`identity=${file}`, words);
      assert.equal(err.split('odd.pem').length, 2, `the file is named once: ${err}`);
    }
    const file = await keyFile('explicit.pem', '');
    await openssl('ecparam', '-name', 'secp256k1', '-genkey', '-param_enc', 'explicit', '-out', file);
    await assertRefused(`identity=${file}`, /written out instead of named/);
    await run('mkfifo', [join(stage.dir, 'fifo')]);
    await assertRefused(`identity=${stage.dir}/fifo`, /is a pipe/);
    await assertRefused(`identity=${stage.dir}`, /is a directory/);
    await assertRefused('identity=/dev/null', /is a device/);
    await assertRefused('identity=./nothing', /No such file/);
  });

  test('files that others can read are warned about', async () => {
    const file = await keyFile('open.pem', await readFile(join(vectors, 'pem', 'encrypted_pkcs8_k256.pem')));
    const password = await keyFile('open', 'swordfish\r\n');
    await chmod(file, 0o644);
    await chmod(password, 0o640);
    const { code, out, err } = await whoami(`identity=${file},password_file=${password}`);
    assert.equal(code, 0);
    assert.equal(out, '5upke-tazvi-6ufqc-i3v6r-j4gpu-dpwti-obhal-yb5xj-ue32x-ktkql-rqe\n');
    assert.match(err, /warning: identity '.*open\.pem' can be read by others: chmod 600 it\n.*warning: password file '.*open' can be read/);
    const wrong = await keyFile('wrong', 'sword');
    await assertRefused(`identity=${file},password_file=${wrong}`, /wrong password.*; others can read the key file: chmod 600 it/);
  });

  test('password files', async () => {
    const file = await keyFile('locked.pem', await readFile(join(vectors, 'pem', 'encrypted_pkcs8_k256.pem')));
    const with_ = async (text) => `identity=${file},password_file=${await keyFile('given', text)}`;
    await assertRefused(await with_(''), /password file .*: no password in its first line/);
    await assertRefused(await with_('\nswordfish'), /no password in its first line/);
    await assertRefused(await with_('sword\0fish'), /no password in its first line/);
    await assertRefused(await with_('x'.repeat(5000)), /no password in its first line/);
    await assertRefused(await with_('swordfish '), /wrong password/);
    await assertRefused(`identity=${file},password_file=${stage.dir}`, /not a regular file/);
    await assertRefused(`identity=${file},password_file=${stage.dir}/none`, /No such file/);
    await assertRefused(`identity=${file}`, /no terminal to ask for the password: -o password_file=FILE/);
    const err = await assertRefused(await with_('secret words'), /wrong password/);
    assert.doesNotMatch(err, /secret/);
    assert.doesNotMatch(err, /can read the password file/);
    const exposed = await with_('secret words');
    await chmod(join(stage.dir, 'given'), 0o644);
    await assertRefused(exposed, /wrong password.*; others can read the password file: chmod 600 it$/m);
  });
});

describe('a password typed', () => {
  // A shell command on a terminal of its own. What is typed has to wait for the prompt, for it flushes its input.
  function onTerminal(command) {
    const child = spawn('script', ['-qec', command, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'], env, cwd: home });
    const terminal = { shown: '', type: (text) => child.stdin.write(text) };
    child.stdout.on('data', (chunk) => (terminal.shown += chunk));
    const timer = setTimeout(() => child.kill('SIGKILL'), 60_000);
    terminal.ended = once(child, 'close').then(([code]) => {
      clearTimeout(timer);
      return code;
    });
    return terminal;
  }
  const quoted = (words) => words.map((word) => `'${word}'`).join(' ');
  const principal = '5upke-tazvi-6ufqc-i3v6r-j4gpu-dpwti-obhal-yb5xj-ue32x-ktkql-rqe';
  let file;

  before(async () => {
    file = await keyFile('typed.pem', await readFile(join(vectors, 'pem', 'encrypted_pkcs8_k256.pem')));
  });

  test('is not shown', async () => {
    const terminal = onTerminal(quoted([program, '--whoami', '-o', `identity=${file}`]));
    await eventually(() => terminal.shown.includes(`Password for ${file}: `));
    terminal.type('swordfish\n');
    assert.equal(await terminal.ended, 0, terminal.shown);
    assert.ok(terminal.shown.includes(principal));
    assert.ok(!terminal.shown.includes('swordfish'), 'no echo');
  });

  test('wrongly, or not at all', async () => {
    for (const [typed, words] of [['swordfisch\n', /wrong password/], ['\n', /no password was typed/], ['\x04', /no password was typed/]]) {
      const terminal = onTerminal(quoted([program, '--whoami', '-o', `identity=${file}`]));
      await eventually(() => terminal.shown.includes('Password for'));
      terminal.type(typed);
      assert.equal(await terminal.ended, 2, terminal.shown);
      assert.match(terminal.shown, words);
    }
  });

  test('Ctrl-C at the prompt ends the program and leaves a terminal that echoes', async () => {
    const asking = quoted([program, '--whoami', '-o', `identity=${file}`]);
    const terminal = onTerminal(`trap : INT; ${asking}; echo status $?; stty -a`);
    await eventually(() => terminal.shown.includes('Password for'));
    terminal.type('\x03');
    await terminal.ended;
    assert.match(terminal.shown, /status 130/);
    assert.match(terminal.shown, / echo /);
  });

  test('Ctrl-Z at the prompt gives the terminal back, and fg asks again without echo', async () => {
    const asking = quoted([program, '--whoami', '-o', `identity=${file}`]);
    const terminal = onTerminal(`set -m; ${asking}; stty -a; stty sane; fg; echo status $?`);
    await eventually(() => terminal.shown.includes('Password for'));
    terminal.type('\x1a');
    await eventually(() => terminal.shown.match(/Password for/g).length === 2);
    assert.match(terminal.shown, / echo /, 'while it is stopped');
    terminal.type('swordfish\n');
    await terminal.ended;
    assert.match(terminal.shown, /status 0/);
    assert.ok(terminal.shown.includes(principal));
    assert.ok(!terminal.shown.includes('swordfish'), 'no echo');
  });

  test('before the program goes to the background', async () => {
    const network = await stage.network(['--demo', '--demo-size', '1M']);
    const point = await newPoint(stage);
    const args = [...networkArgs(network), '-o', `identity=${file}`, network.canisters.sample, point];
    const terminal = onTerminal(quoted([program, ...args]));
    await eventually(() => terminal.shown.includes('Password for'));
    terminal.type('swordfish\n');
    assert.equal(await terminal.ended, 0, terminal.shown);
    assert.equal(JSON.parse(await readFile(join(point, '.canisterfs', 'status'), 'utf8')).identity, principal);
    await run('fusermount3', ['-u', point]);
  });
});

describe('by name', () => {
  const dfxKey = async (name, source) => {
    const dir = join(home, '.config', 'dfx', 'identity', name);
    await mkdir(dir, { recursive: true });
    await copyFile(source, join(dir, 'identity.pem'));
    await chmod(join(dir, 'identity.pem'), 0o400);
  };
  // icp writes keys that others can read.
  const tighten = async () => {
    const keys = join(home, '.local', 'share', 'icp-cli', 'identity', 'keys');
    for (const name of await readdir(keys)) await chmod(join(keys, name), 0o600);
  };
  const vector = (name) => join(vectors, 'pem', name);
  const P256 = 'qkn3n-adewz-qvqxz-gkchb-ughyj-pl23l-ezdak-7rnds-fime4-si4tn-nae';

  test('icp and we agree on every key, and on names', async () => {
    const password = await keyFile('icp password', 'eight or more');
    const swordfish = await keyFile('swordfish', 'swordfish');
    await icp('identity', 'new', 'seeded', '--storage', 'plaintext');
    await icp('identity', 'new', 'locked', '--storage', 'password', '--storage-password-file', password);
    const names = ['seeded', 'locked'];
    for (const file of await readdir(join(vectors, 'pem'))) {
      if (!file.endsWith('.pem') || /unsupported|missing|agentrs_|js_/.test(file)) continue;
      const isOneOfKind = /^pkcs8|^decrypted_pkcs8/.test(file); // a password takes icp a second
      for (const storage of isOneOfKind ? ['plaintext', 'password'] : ['plaintext']) {
        const name = `${storage}-${file.slice(0, -4)}`;
        const more = storage === 'password' ? ['--storage-password-file', password] : [];
        if (file.startsWith('encrypted')) more.push('--decryption-password-from-file', swordfish);
        await icp('identity', 'import', name, '--storage', storage, '--from-pem', vector(file), ...more);
        names.push(name);
      }
    }
    await tighten();
    const listed = JSON.parse(await icp('identity', 'list', '--json')).identities;
    for (const name of names) {
      const principal = await icp('identity', 'principal', '--identity', name, '--identity-password-file', password);
      assert.equal(listed.find((entry) => entry.name === name).principal, principal);
      await assertIs(`identity=${name},password_file=${password}`, principal);
    }
    const exported = await keyFile('exported.pem', await icp('identity', 'export', 'locked', '--password-file', password));
    await assertIs(`identity=${exported}`, listed.find(({ name }) => name === 'locked').principal);
    await assertIs('identity=anonymous', '2vxsx-fae');
    await assertIs(null, '2vxsx-fae');
  });

  test('a session that icp has delegated to', async () => {
    const pub = await keyFile('session.pub', await icp('identity', 'delegation', 'request', 'session', '--storage', 'plaintext'));
    await assertRefused('identity=session', /identity 'session' of icp-cli has no delegation yet/);
    const sign = ['identity', 'delegation', 'sign', '--identity', 'seeded', '--key-pem', pub, '--duration', '1d'];
    const chain = await keyFile('session.json', await icp(...sign));
    await icp('identity', 'delegation', 'use', 'session', '--from-json', chain);
    await tighten();
    const owner = await icp('identity', 'principal', '--identity', 'seeded');
    await assertIs('identity=session', owner);
    const key = join(home, '.local/share/icp-cli/identity/keys/session.pem');
    await assertIs(`identity=${key},delegation=${chain}`, owner);
    assert.notEqual((await whoami(`identity=${key}`)).out, `${owner}\n`, 'the session key alone is somebody else');
    await assertRefused(`identity=seeded,delegation=${chain}`, /delegations are for another key/);
  });

  test('dfx, and a name that both have', async () => {
    await dfxKey('default', vector('decrypted_sec1_k256.pem'));
    await assertIs('identity=default', '5upke-tazvi-6ufqc-i3v6r-j4gpu-dpwti-obhal-yb5xj-ue32x-ktkql-rqe');
    await dfxKey('plaintext-pkcs8_p256', vector('decrypted_sec1_p256.pem'));
    await assertIs('identity=plaintext-pkcs8_p256', P256);
    await dfxKey('seeded', vector('decrypted_sec1_p256.pem'));
    const err = await assertRefused('identity=seeded', /icp-cli and dfx both have an identity 'seeded', and they are not the same/);
    assert.match(err, /icp-cli\/identity\/keys\/seeded\.pem or .*dfx\/identity\/seeded\/identity\.pem/);
    await run('rm', ['-r', join(home, '.config/dfx/identity/seeded')]);
  });

  test('a file that has the name of an identity leaves open who is meant, a directory does not', async () => {
    const cwd = join(stage.dir, 'here');
    await mkdir(join(cwd, 'default'), { recursive: true });
    for (const name of ['seeded', 'other']) {
      await copyFile(vector('pkcs8_p256.pem'), join(cwd, name));
      await chmod(join(cwd, name), 0o600);
    }
    const { code, out, err } = await whoami('identity=seeded', { cwd });
    assert.deepEqual([code, out], [2, '']);
    assert.match(err, /^canisterfs: identity 'seeded' is a file here and an identity of (icp-cli|dfx): \.\/seeded is the file; .*\n$/);
    assert.equal((await whoami('identity=./seeded', { cwd })).out, `${P256}\n`);
    assert.equal((await whoami('identity=other', { cwd })).out, `${P256}\n`);
    assert.match((await whoami('identity=default', { cwd })).out, /^5upke-/);
  });

  test('a store whose list and key differ, and a name that nobody has', async () => {
    const key = join(home, '.local/share/icp-cli/identity/keys/plaintext-pkcs8_k256.pem');
    await copyFile(vector('decrypted_pkcs8_ed25519.pem'), key);
    await assertRefused('identity=plaintext-pkcs8_k256', /does not hold the key of the principal that its store names/);
    await assertRefused('identity=nobody', /'nobody': no file of that name here; icp-cli: no such identity in .*; dfx: no such/);
  });
});

// The chain of wire_fixture as the JSON that clients write.
const jsonOf = ({ der, chain }) =>
  JSON.stringify({
    publicKey: hex(der),
    delegations: chain.map(({ delegation: { pubkey, expiration, targets, ...rest }, signature }) => ({
      delegation: { pubkey: hex(pubkey), expiration: expiration.toString(16), ...(targets && { targets: targets.map(hex) }), ...rest },
      signature: hex(signature),
    })),
  });

describe('at the network', () => {
  let network, owner, canister;

  // An identity of wire_fixture for @icp-sdk/core.
  class Signer extends SignIdentity {
    constructor(identity) {
      super();
      this.identity = identity;
    }
    getPublicKey() {
      return { toDer: () => this.identity.der };
    }
    sign(bytes) {
      return Promise.resolve(this.identity.sign(bytes));
    }
  }

  // A canister that only the identity may read, and change.
  async function ownCanister(identity, shape = 'factland') {
    const rootKey = new Uint8Array(Buffer.from(network.root_key, 'hex'));
    const agent = await HttpAgent.create({ host: network.url, identity: new Signer(identity), rootKey });
    return ShapedCanister.install(agent, shape, { size: 100_000, controllersOnly: true });
  }

  before(async () => {
    network = await stage.network();
    owner = makeIdentity('secp256k1');
    canister = await ownCanister(owner);
  });

  async function assertReads(mount, { memories: { stable_memory: memory } }) {
    const got = await readFile(mount.path('stable_memory'));
    assert.equal(Buffer.compare(got, memory.read(0, memory.size)), 0);
  }

  async function chainArgs(chain, session) {
    const key = await keyFile('session.pem', session.pem);
    return ['-o', `identity=${key},delegation=${await keyFile('chain.json', typeof chain === 'string' ? chain : jsonOf(chain))}`];
  }

  // Refused before anything is mounted, with status 2.
  async function assertBroken(chain, session, words, code = 2) {
    const args = await chainArgs(chain, session);
    const result = await refused([...networkArgs(network), ...args, canister.id, await newPoint(stage)]);
    assert.equal(result.code, code, result.stderr);
    assert.match(result.stderr, words);
  }

  for (const kind of ['ed25519', 'secp256k1', 'p256']) {
    test(`a ${kind} key reads what only its principal may`, async () => {
      const identity = makeIdentity(kind);
      const own = await ownCanister(identity);
      const file = await keyFile(`${kind}.pem`, identity.pem);
      const mount = await stage.mount(network, own.id, ['-o', `identity=${file}`]);
      await assertReads(mount, own);
      const status = await mount.json('status');
      assert.equal(status.identity, Principal.fromUint8Array(identity.sender).toText());
      assert.equal(status.stable_memory.readable_by_anyone, false);
      await mount.says(new RegExp(`identity '.*' signs as ${status.identity}`));
      await mount.unmount();
      const other = await refused([...networkArgs(network), '-o', `identity=${file}`, canister.id, await newPoint(stage)]);
      assert.equal(other.code, 3, other.stderr);
      assert.match(other.stderr, /refuses to be read/);
    });

    test(`a ${kind} session key reads what the owner may, through chains of one and three`, async () => {
      const session = makeIdentity(kind);
      const middle = [makeIdentity('p256'), makeIdentity('ed25519')];
      const targets = [Uint8Array.of(1, 2), canister.principal.toUint8Array()];
      const chains = [
        delegated([owner, session]),
        delegated([owner, ...middle, session], [{ targets }, { permissions: 'queries' }, { targets: [targets[1]] }]),
      ];
      for (const chain of chains) {
        const mount = await stage.mount(network, canister.id, await chainArgs(chain, session));
        await assertReads(mount, canister);
        const status = await mount.json('status');
        assert.equal(status.identity, Principal.fromUint8Array(owner.sender).toText());
        assert.match(status.identity_expires_at, /^20\d\d-\d\d-\d\dT/);
        await mount.says(/by a delegation until 20\d\d-.* UTC/);
        await mount.unmount();
      }
    });
  }

  for (const kind of ['ed25519', 'secp256k1', 'p256']) {
    test(`a ${kind} key, and a session key by its delegation, sign updates`, async () => {
      const [identity, session] = [makeIdentity(kind), makeIdentity(kind)];
      const own = await ownCanister(identity, 'hotornot');
      const ways = [
        ['-o', `identity=${await keyFile(`${kind}.pem`, identity.pem)}`],
        await chainArgs(delegated([identity, session]), session),
      ];
      for (const args of ways) {
        const mount = await stage.mount(network, own.id, args);
        assert.deepEqual(await mount.job('prepare').then(({ state, error }) => [state, error]), ['done', null]);
        await mount.unmount();
      }
      const queries = await chainArgs(delegated([identity, session], [{ permissions: 'queries' }]), session);
      const mount = await stage.mount(network, own.id, queries);
      const { state, error } = await mount.job('prepare');
      assert.deepEqual([state, error.errno], ['failed', 'EACCES'], JSON.stringify(error));
      await mount.unmount();
    });
  }

  test('a chain that agent-js made and wrote', async () => {
    const root = Ed25519KeyIdentity.generate();
    const session = Ed25519KeyIdentity.generate();
    const inAnHour = new Date(Date.now() + 3_600_000);
    const chain = await DelegationChain.create(root, session.getPublicKey(), inAnHour, { targets: [canister.principal] });
    const seed = new Uint8Array(session.getKeyPair().secretKey).slice(0, 32);
    const args = await chainArgs(JSON.stringify(chain.toJSON()), identityOf('ed25519', seed));
    const { out } = await whoami(args[1]);
    assert.equal(out.trim(), root.getPrincipal().toText());
  });

  test('broken chains are refused before the mount', async () => {
    const [session, stranger, middle] = [makeIdentity('p256'), makeIdentity('p256'), makeIdentity('ed25519')];
    const good = delegated([owner, middle, session]);
    const link = (i, change) => ({ ...good, chain: good.chain.map((it, j) => (i === j ? change(it) : it)) });
    await assertBroken(good, stranger, /delegations are for another key/);
    await assertBroken({ ...good, der: stranger.der }, session, /delegation 1 of 2 is not signed by/);
    for (const i of [0, 1]) {
      const flip = (bytes) => bytes.map((byte, at) => (at === 9 ? byte ^ 4 : byte));
      await assertBroken(link(i, (it) => ({ ...it, signature: flip(it.signature) })), session, /is not signed by/);
    }
    const expired = delegated([owner, session], [{ expiration: inFuture(-1000) }]);
    await assertBroken(expired, session, /delegation 1 of 1 expired on 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC/);
    const elsewhere = delegated([owner, session], [{ targets: [Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 1, 1, 1)] }]);
    await assertBroken(elsewhere, session, new RegExp(`not for canister ${canister.id}: they are for rrkah-fqaaa-aaaaa-aaaaq-cai`));
    const nowhere = delegated([owner, session], [{ targets: [] }]);
    await assertBroken(nowhere, session, /for no canister at all/);
    await assertBroken({ ...good, chain: good.chain.toReversed() }, session, /delegation 1 of 2 is not signed by/);
    await assertBroken({ ...good, chain: [] }, session, /no delegations/);
    const many = [owner, ...Array.from({ length: 20 }, () => makeIdentity()), session];
    await assertBroken(delegated(many), session, /21 delegations, the network takes 20 at most/);
    const twenty = [owner, ...many.slice(1, 20), session];
    const mount = await stage.mount(network, canister.id, await chainArgs(delegated(twenty), session));
    await assertReads(mount, canister);
    await mount.unmount();
    await assertBroken('{"publicKey": 1}', session, /no delegation chain/);
  });

  test('what a canister signed is for the network to judge: this one knows no such keys', async () => {
    const session = makeIdentity();
    const der = Buffer.from('301d300c060a2b0601040183b8430102030d000a000000000000000101010102', 'hex');
    const { chain } = delegated([owner, session]);
    await assertBroken({ der, chain }, session, /Invalid signature: unsupported public key/, 3);
  });

  test('a delegation that expires while mounted: EACCES, and the log says when', async () => {
    const session = makeIdentity('ed25519');
    const end = Date.now() + 15_000; // time to mount and read on a busy machine
    const chain = delegated([owner, session], [{ expiration: BigInt(end) * 1_000_000n }]);
    const mount = await stage.mount(network, canister.id, [...(await chainArgs(chain, session)), '-o', 'attr_timeout=100ms']);
    await assertReads(mount, canister);
    await eventually(() => Date.now() > end + 100);
    assert.equal(await pread(mount.path('stable_memory'), 0, 100), 'EACCES');
    await mount.says(/the identity's delegation expired on 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC/);
    await mount.unmount();
  });

  test('a delegation that has expired by the clock of the network alone: EACCES as well', async () => {
    const session = makeIdentity('ed25519');
    const chain = delegated([owner, session], [{ expiration: inFuture(60_000) }]);
    const mount = await stage.mount(network, canister.id, [...(await chainArgs(chain, session)), '-o', 'attr_timeout=100ms']);
    await assertReads(mount, canister);
    await network.options({ skewMs: 61_000 });
    await eventually(async () => (await pread(mount.path('stable_memory'), 0, 100)) === 'EACCES');
    await mount.says(/delegation has expired/);
    await network.options({ skewMs: 0 });
    await eventually(async () => (await pread(mount.path('stable_memory'), 0, 100)).length === 100); // it was good
    await mount.unmount();
  });
});
