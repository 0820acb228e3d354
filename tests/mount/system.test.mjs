// The mount as a part of the system: installed, by mount(8), fstab and systemd, for several users. What README and docs/ show is what is tried.
import assert from 'node:assert/strict';
import { chmod, copyFile, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { networkArgs, program, run, seedBytes, Stage, top } from './harness.mjs';
import { isMounted, newPoint, start } from './process.mjs';

const NOBODY = 65534;
const icp = join(top, 'tests/node_modules/@icp-sdk/icp-cli-linux-x64/bin/icp');
const asRoot = process.getuid() === 0 ? [] : ['sudo', '-n'];

let stage, network, sample, readme, systemPage, options;

before(async () => {
  stage = await Stage.open();
  await chmod(stage.dir, 0o711); // other users must reach the mount points
  network = await stage.network(['--demo', '--demo-size', '1M']);
  sample = network.canisters.sample;
  readme = await readFile(join(top, 'README.md'), 'utf8');
  systemPage = await readFile(join(top, 'docs', 'system.md'), 'utf8');
  options = networkArgs(network)[1];
});
after(() => stage.close());

// How a command ends: status, standard output and standard error.
async function outcome(command, args) {
  const child = start(command, args);
  let out = '';
  child.stdout.on('data', (chunk) => (out += chunk));
  const { code } = await child.ended;
  return { code, out, words: child.words };
}

const asNobody = (...command) =>
  outcome(asRoot[0] ?? 'setpriv', [...(asRoot.length ? ['-n', 'setpriv'] : []), `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups', ...command]);

// The code blocks of docs/system.md in one language.
const blocks = (language) => [...systemPage.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, 'gms'))].map((match) => match[1]);

describe('README', () => {
  test('has every option of --help, and every exit status', async () => {
    const { stdout } = await run(program, ['--help']);
    const [options, rest] = stdout.split('commands (');
    const names = [...options.matchAll(/^ {2}([a-z_]+)(=\S+)? /gm)].map((match) => match[1]);
    assert.ok(names.length > 15);
    for (const name of names) assert.match(readme, new RegExp(`^\\|.*\`${name}[=\`]`, 'm'), name);
    const [, table] = rest.split('exit status:\n');
    for (const line of table.trimEnd().split('\n')) {
      const [, status, meaning] = /^ +(\d) +(.*)$/.exec(line);
      assert.ok(readme.includes(`| ${status} | ${meaning} |`), meaning);
    }
  });

  test('has links, as the pages in docs/ have, to what is there', async () => {
    const pages = ['README.md', ...(await readdir(join(top, 'docs'))).map((name) => join('docs', name))];
    const anchors = new Map();
    const texts = new Map();
    for (const page of pages) {
      const text = (await readFile(join(top, page), 'utf8')).replace(/^```.*?^```$/gms, '');
      const headings = [...text.matchAll(/^#+ (.*)$/gm)].map(([, words]) => words.toLowerCase().replace(/[^\w\- ]/g, '').replaceAll(' ', '-'));
      assert.equal(new Set(headings).size, headings.length, page);
      anchors.set(page, headings);
      texts.set(page, text);
    }
    const linked = new Set(['README.md']);
    for (const [page, text] of texts)
      for (const [, path, anchor] of text.matchAll(/\]\(([^)#]*)#?([^)]*)\)/g)) {
        const target = path === '' ? page : relative(top, join(top, dirname(page), path));
        linked.add(target);
        if (anchor) assert.ok(anchors.get(target)?.includes(anchor), `${page}: ${path}#${anchor}`);
        else assert.ok((await stat(join(top, target))).isFile(), `${page}: ${path}`);
      }
    assert.deepEqual(pages.filter((page) => !linked.has(page)), []);
  });

  test('has the errors of the manual page, and that has every exit status', async () => {
    const { stdout } = await run(program, ['--man-page']);
    const rows = (section) => [...new RegExp(`^\\.SH ${section}\n(.*?)^\\.SH`, 'ms').exec(stdout)[1].matchAll(/^\.TP\n\.B (\S+)\n(.*)$/gm)];
    const table = (name) => [...new RegExp(`^\\| ${name} \\|.*\n\\|.*\n((?:\\|.*\n)*)`, 'm').exec(readme)[1].matchAll(/^\| (\S+) \| (.*) \|$/gm)];
    const words = (row) => `${row[1]}: ${row[2].replaceAll('`', '')}`;
    assert.equal(rows('ERRORS').length, 18);
    assert.deepEqual(rows('ERRORS').map(words), table('errno').map(words));
    assert.deepEqual(rows('EXIT STATUS').map(words), table('exit status').map(words));
  });

  test('the URL and the root key of a network, as icp prints them', async () => {
    const project = join(stage.dir, 'project');
    await mkdir(project);
    await writeFile(join(project, 'icp.yaml'), `networks:
  - {name: mine, mode: connected, url: "${network.url}", root-key: ${network.root_key}}\n`);
    const env = { ...process.env, HOME: project, ICP_HOME: join(project, 'icp'), DO_NOT_TRACK: '1' };
    const { stdout } = await run(icp, ['network', 'status', 'mine', '--json'], { cwd: project, env });
    const { api_url: url, root_key } = JSON.parse(stdout);
    const mount = await stage.mount({ url, root_key }, sample);
    assert.equal((await readFile(mount.path('canister', 'id'), 'utf8')).trim(), sample);
    await mount.unmount();
  });

  test('has every command, in the order of --help, and so has the manual page', async () => {
    const { stdout } = await run(program, ['--help']);
    const [, table] = /commands \(.*\n([^]*?)\n\nexit status/.exec(stdout);
    const commands = table.split('\n').map((line) => /^ {2}(\S.*?) {2,}(.*)$/.exec(line).slice(1));
    const [, rows] = /^\| command \| what it does \|\n.*\n((?:\|.*\n)*)/m.exec(readme);
    assert.deepEqual([...rows.matchAll(/^\| `([^`]*)` \| (.*) \|$/gm)].map((row) => row.slice(1)), commands);
    const { stdout: page } = await run(program, ['--man-page']);
    const [, section] = /^\.SH COMMANDS\n(.*?)^\.SH/ms.exec(page);
    assert.deepEqual([...section.replaceAll('\\-', '-').matchAll(/^\.TP\n\.B (.*)\n(.*)$/gm)].map((row) => row.slice(1)), commands);
  });

  test('installing puts the program and its manual page where they are found', async () => {
    const root = join(stage.dir, 'root');
    await run('meson', ['install', '-C', join(top, 'build'), '--no-rebuild', '--destdir', root]);
    const { stdout } = await run(join(root, 'usr/local/bin/canisterfs'), ['--version']);
    assert.match(stdout, /^canisterfs \d+\.\d+\.\d+\n$/);
    assert.match(await readFile(join(root, 'usr/local/share/man/man1/canisterfs.1'), 'utf8'), /^\.TH CANISTERFS 1/);
  });

  test('the systemd units are what systemd takes', async (t) => {
    const units = blocks('ini').filter((block) => block.startsWith('[Unit]'));
    assert.equal(units.length, 2);
    const files = ['mnt-ledger.mount', 'mnt-ledger.automount'].map((name) => join(stage.dir, name));
    for (const [i, file] of files.entries()) {
      assert.ok(systemPage.includes(`/etc/systemd/system/${basename(file)}`), 'the page names the file');
      assert.match(units[i], /^Where=\/mnt\/ledger$/m, 'a unit must be named after its mount point');
      await writeFile(file, units[i]);
    }
    const { error, stdout, stderr } = await run('systemd-analyze', ['verify', ...files]).catch((failed) => ({ error: failed, ...failed }));
    if (error?.code === 'ENOENT') return t.diagnostic('systemd itself was not asked: it is not installed here');
    assert.equal(stdout + stderr, '', 'without a remark');
    assert.equal(error, undefined);
  });
});

// In a mount namespace of its own, so that nothing of the machine changes, the program is where `meson install` puts it.
describe('mount(8)', () => {
  let bin;

  before(async () => {
    bin = join(stage.dir, 'bin');
    await mkdir(bin);
    await symlink(program, join(bin, 'canisterfs'));
  });

  const inNamespace = async (script) => {
    const file = join(stage.dir, 'script');
    await writeFile(file, `set -e\nmount --bind ${bin} /usr/local/bin\n${script}`);
    return outcome(asRoot[0] ?? 'unshare', [...(asRoot.length ? ['-n', 'unshare'] : []), '--mount', '--propagation', 'private', 'sh', file]);
  };
  const first64 = seedBytes(1n, 0, 64).toString('hex');
  const show = (point) => `findmnt -n -o SOURCE,FSTYPE,OPTIONS ${point}
    head -c 64 ${point}/stable_memory | od -An -v -tx1 | tr -d ' \\n'; echo
    umount ${point}\n`;

  const check = (result, point, isWritable) => {
    assert.equal(result.code, 0, result.words);
    const [shown, bytes] = result.out.trimEnd().split('\n');
    assert.match(shown, new RegExp(`^${sample} +fuse\\.canisterfs +rw,nosuid,nodev,.*default_permissions`));
    assert.equal(bytes, first64);
    assert.equal(/what is written there is restored/.test(result.words), isWritable, result.words);
    return shown;
  };

  test('mount -t fuse.canisterfs, with the words that mount(8) adds', async () => {
    const point = await newPoint(stage);
    check(await inNamespace(`mount -t fuse.canisterfs -o ro,${options} ${sample} ${point}\n${show(point)}`), point, false);
    check(await inNamespace(`mount -t fuse.canisterfs -o defaults,${options} ${sample} ${point}\n${show(point)}`), point, true);
    assert.ok(!(await isMounted(point)));
  });

  test('a failure has our words and our exit status', async () => {
    const point = await newPoint(stage);
    const failed = await inNamespace(`mount -t fuse.canisterfs -o ro,${options.replace(/http:[^,]*/, 'http://127.0.0.1:9')},timeout=1s ${sample} ${point}`);
    assert.equal(failed.code, 3);
    assert.match(failed.words, /canisterfs: canister .* port 9/);
  });

  test("docs/system.md's line in fstab", async () => {
    const point = await newPoint(stage);
    const pem = join(stage.dir, 'id.pem');
    await copyFile(network.identity, pem);
    await chmod(pem, 0o600);
    const [line] = blocks('fstab');
    const [source, target, ...rest] = line.trimEnd().split(' ');
    assert.equal(rest.length, 4);
    const fstab = join(stage.dir, 'fstab');
    const entry = [sample, point, rest[0], `${rest[1].replace('/etc/canisterfs/id.pem', pem)},x-systemd.automount,${options}`, ...rest.slice(2)];
    await writeFile(fstab, `${entry.join(' ')}\n`);
    assert.match(systemPage, new RegExp(`What=${source}\nWhere=${target}\n`), 'the units show the same');
    const shown = check(await inNamespace(`mount -T ${fstab} ${point}\n${show(point)}`), point, false);
    assert.doesNotMatch(shown, /allow_other/);
  });
});

describe('other users', () => {
  const read = (mount) => asNobody('head', '-c', '64', mount.path('stable_memory'));
  const modes = async (mount) => (await run('stat', ['-c', '%a %u %g', mount.point, mount.path('stable_memory')])).stdout;
  const me = `${process.getuid()} ${process.getgid()}`;

  test('are kept out without allow_other', async () => {
    const mount = await stage.mount(network, sample);
    const result = await read(mount);
    assert.equal(result.code, 1);
    assert.match(result.words, /Permission denied/);
    assert.equal(await modes(mount), `555 ${me}\n444 ${me}\n`);
    await mount.unmount();
  });

  test('come in with allow_other as far as umask lets them', async () => {
    const rows = [
      ['allow_other', `555 ${me}\n444 ${me}\n`, 0],
      ['allow_other,umask=077', `500 ${me}\n400 ${me}\n`, 1],
      ['allow_other,umask=0027,gid=65534', `550 ${process.getuid()} ${NOBODY}\n440 ${process.getuid()} ${NOBODY}\n`, 0],
      [`allow_other,umask=77,uid=${NOBODY},gid=${NOBODY}`, `500 ${NOBODY} ${NOBODY}\n400 ${NOBODY} ${NOBODY}\n`, 0],
    ];
    for (const [words, shown, code] of rows) {
      const mount = await stage.mount(network, sample, ['-o', words]);
      assert.equal(await modes(mount), shown, words);
      assert.equal((await read(mount)).code, code, words);
      await mount.unmount();
    }
  });

  test('a mount that is refused: the words of whoever refused it, then ours, status 4', async () => {
    assert.doesNotMatch(await readFile('/etc/fuse.conf', 'utf8').catch(() => ''), /^user_allow_other/m, 'this machine allows it');
    const copy = join(stage.dir, 'canisterfs');
    await copyFile(program, copy);
    await chmod(copy, 0o755);
    const point = await newPoint(stage);
    await chmod(point, 0o777);
    const result = await asNobody(copy, '-o', `${options},allow_other`, sample, point);
    assert.equal(result.code, 4, result.words);
    const [refusal, ours] = result.words.trimEnd().split('\n').slice(-2);
    // Where only root may open /dev/fuse it does not even come to the question.
    assert.match(refusal, /option allow_other only allowed if 'user_allow_other' is set|\/dev\/fuse: Permission denied/);
    assert.equal(ours, `canisterfs: cannot mount on '${point}', for the reason above`);
    assert.ok(!(await isMounted(point)));
  });
});
