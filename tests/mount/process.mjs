// Processes and mount points, for tests that start the program themselves instead of through Stage.mount.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { program, run } from './harness.mjs';

// Until `condition` holds, at most `ms`; false when it never did.
export async function within(ms, condition) {
  const deadline = Date.now() + ms;
  while (!(await condition())) {
    if (Date.now() > deadline) return false;
    await sleep(20);
  }
  return true;
}

export async function isMounted(point) {
  return (await readFile('/proc/self/mountinfo', 'utf8')).includes(` ${point} `);
}

// One that has ended and that nobody has asked about is not.
export function isAlive(pid) {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

// The processes of our program that serve, or want to serve, a mount point.
export async function pidsOf(point) {
  const pids = [];
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const words = (await readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => '')).split('\0');
    if (words.includes(point) && words.includes(program)) pids.push(Number(name));
  }
  return pids;
}

// A new directory to mount on; whatever is mounted there or wants to be is gone at the end.
export async function newPoint(stage) {
  const point = join(stage.dir, `point-${Math.random().toString(36).slice(2)}`);
  await mkdir(point);
  stage.onClose(async () => {
    await run('fusermount3', ['-uz', point]).catch(() => {});
    for (const pid of await pidsOf(point)) process.kill(pid, 'SIGKILL');
  });
  return point;
}

// A process: `words` is what it wrote to standard error, `ended` resolves to how it ended.
export function start(command, args, options = {}) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
  child.words = '';
  child.stderr.on('data', (chunk) => (child.words += chunk));
  child.ended = once(child, 'close').then(([code, signal]) => ({ code, signal }));
  return child;
}
