// A mount over files in the place of a canister (tests/mount/fake_mount.c): what is written reaches STATE/memory by
// a restorer that does as it is told, and says in STATE/commits what it did.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { eventually, Mount, program, tethered } from './harness.mjs';

const FAKE = join(dirname(program), 'tests', 'fake_mount');

export class FakeMount extends Mount {
  // memory: its content. dir: STATE of an earlier mount, to go on with. through: a command that starts the program.
  static async open(stage, { memory = null, args = ['-o', 'rw'], dir = null, through = [] } = {}) {
    const top = dir ?? (await mkdtemp(join(stage.dir, 'fake-')));
    const point = await mkdtemp(join(stage.dir, 'mnt-'));
    const state = join(top, 'state');
    await mkdir(join(state, 'items'), { recursive: true });
    if (memory) await writeFile(join(state, 'memory'), memory);
    const [command, ...words] = [...through, FAKE, state, '-f', ...args, 'canister', point];
    const child = spawn(...tethered(command, words), { stdio: ['ignore', 'inherit', 'pipe'] });
    const mount = new FakeMount(child, point);
    Object.assign(mount, { top, state, memoryPath: mount.path('stable_memory') });
    stage.onClose(() => mount.unmount());
    await mount.waitUntilServing();
    return mount;
  }

  // What commits do: lines of fake_mount.c; none: they succeed at once.
  async script(...lines) {
    if (lines.length > 0) await writeFile(join(this.state, 'script'), lines.map((line) => `${line}\n`).join(''));
    else await rm(join(this.state, 'script'), { force: true });
  }

  // "stable_memory 1000 ok" for each commit so far.
  async commits() {
    const text = await readFile(join(this.state, 'commits'), 'utf8').catch(() => '');
    return text.split('\n').filter((line) => line !== '');
  }

  memory() {
    return readFile(join(this.state, 'memory'));
  }

  async restores() {
    return (await this.json('status')).restores;
  }

  // The states of what is staged, once nothing is open any more: RELEASE comes after close(2) has returned.
  async states() {
    let states;
    await eventually(async () => {
      const restores = await this.restores();
      states = restores.map(({ state }) => state);
      return restores.every(({ file, state }) => file === null || (state !== 'open' && state !== 'committing'));
    }, 5000).catch(() => {});
    return states;
  }

  // The numbers of the stages that are kept on disk.
  async kept() {
    return (await readdir(join(this.state, 'stages'))).filter((name) => /^\d+$/.test(name)).map(Number).sort((a, b) => a - b);
  }

  jobs() {
    return this.json('jobs');
  }

  // `meanwhile`: what must have ended before there is nothing mounted any more.
  async kill(meanwhile) {
    this.child.kill('SIGKILL');
    await once(this.child, 'close');
    await meanwhile;
    await new Promise((resolve) => spawn('fusermount3', ['-uz', this.point]).on('close', resolve));
  }
}
