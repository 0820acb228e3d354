// Tests that run at once because they mostly wait, each in a lane: what it needs, for itself alone.
import { before, test } from 'node:test';

export const LANES = 3;

// For a describe with { concurrency: n }: open() resolves to a lane, and the function returned declares a test that gets
// one that is free.
export function inLanes(open, n = LANES) {
  const free = [];
  before(async () => {
    for (let i = 0; i < n; i++) free.push(await open());
  });
  return (name, body) =>
    test(name, async () => {
      const lane = free.pop();
      try {
        await body(lane);
      } finally {
        free.push(lane);
      }
    });
}
