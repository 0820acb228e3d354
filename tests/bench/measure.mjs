// Numbers: how long, how much, and how evenly.
import { readFile } from 'node:fs/promises';

export const MIB = 2 ** 20;
export const BLOCK = 65536;
// What the mount asks for at a time, and how many queries it starts with.
export const CHUNK = 47 * BLOCK;
export const INFLIGHT = 16;

const ascending = (numbers) => [...numbers].sort((a, b) => a - b);

// The smallest of the numbers that is not less than `part` of them.
export function quantile(numbers, part) {
  const sorted = ascending(numbers);
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))];
}

export const median = (numbers) => quantile(numbers, 0.5);
export const mbps = (bytes, seconds) => bytes / 1e6 / seconds;
export const sum = (numbers) => numbers.reduce((total, n) => total + n, 0);

// Of what was measured several times: the median, the smallest and the largest.
export function spread(numbers) {
  return { median: median(numbers), smallest: Math.min(...numbers), largest: Math.max(...numbers) };
}

// Jain's index: 1 when all have the same, 1/n when one has everything.
export const fairness = (shares) => sum(shares) ** 2 / (shares.length * sum(shares.map((x) => x * x)));

export async function seconds(fn) {
  const started = process.hrtime.bigint();
  await fn();
  return Number(process.hrtime.bigint() - started) / 1e9;
}

// User and system CPU seconds, and peak resident bytes, of a process.
export async function usage(pid) {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return {
    cpuSeconds: (Number(fields[11]) + Number(fields[12])) / 100,
    peakBytes: Number(/VmHWM:\s+(\d+)/.exec(status)[1]) * 1024,
  };
}

export const fixed = (n, digits = 1) => (n === null ? '-' : n.toFixed(digits));

// 1.23 (1.10-1.40)
export const ranged = ({ median: middle, smallest, largest }, digits = 2) =>
  `${fixed(middle, digits)} (${fixed(smallest, digits)}-${fixed(largest, digits)})`;

export function table(rows) {
  const cells = rows.map((row) => row.map(String));
  const widths = cells[0].map((_, i) => Math.max(...cells.map((row) => row[i].length)));
  return cells.map((row) => row.map((cell, i) => (i ? cell.padStart(widths[i]) : cell.padEnd(widths[i]))).join('  ')).join('\n');
}
