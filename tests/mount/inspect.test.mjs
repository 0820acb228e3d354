// inspect/: the same chunks for people and programs that do not speak Candid, with the names of their fields.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { chunkName, chunkNames, chunkStarts, decode, output } from './chunks.mjs';
import { Client } from './client.mjs';
import { Dscvr, REPLIES } from './dscvr.mjs';
import { Stage } from './harness.mjs';

const didc = createRequire(import.meta.url)('@dfinity/didc');

const COUNT = 5_432;
const METHODS = { content: 'backup_content_chunks', users: 'backup_users_chunk', portals: 'backup_portals_chunk' };

describe('inspect', () => {
  let stage, network, canister, mount, contents;

  before(async () => {
    stage = await Stage.open();
    network = await stage.network();
    const client = await Client.open(network);
    canister = await Dscvr.install(client.agent, { count: COUNT, seed: 99n });
    mount = await stage.mount(network, canister.id);
    contents = Array.from({ length: COUNT }, (_, i) => canister.data.content(i));
  });
  after(() => stage.close());

  const all = (ending) => chunkNames(COUNT, 1000, ending).map((name) => mount.path('inspect', 'content', name));
  // What jq prints of all contents, made one list first.
  const ask = async (filter) => JSON.parse(await output('jq', '-c', '-s', `[.[].chunk[]] | ${filter}`, ...all('json')));

  test('what there is', async () => {
    const both = (names) => names.flatMap((name) => [`${name}.json`, `${name}.txt`]);
    const { content, users, portals } = canister.data.totals;
    const starts = (total) => both(chunkStarts(total).map((start) => chunkName(start).split('.')[0]));
    assert.deepEqual((await readdir(mount.path('inspect'))).sort(), ['backup', 'content', 'limits', 'nfts', 'portals', 'users']);
    for (const [name, total] of Object.entries({ content, users, portals }))
      assert.deepEqual((await readdir(mount.path('inspect', name))).sort(), starts(total).sort());
    assert.deepEqual((await readdir(mount.path('inspect', 'limits'))).sort(), both(['all']).sort());
  });

  test('questions that jq answers', async () => {
    const bytes = contents.reduce((sum, { body }) => sum + Buffer.byteLength(body), 0);
    assert.equal(await ask('length'), COUNT);
    assert.equal(await ask('map(.body | utf8bytelength) | add'), bytes);
    const score = contents.reduce((sum, { score }) => sum + Number(score), 0);
    assert.equal(await ask('map(.score | tonumber) | add'), score);
    const artists = contents.filter(({ tags, kind }) => tags.includes('art') && kind.comment).map(({ author }) => author.toText());
    assert.deepEqual(await ask('map(select((.tags | index("art")) and .kind.comment) | .author)'), artists);
    const icons = contents.filter(({ icon }) => icon.length > 0).map(({ icon }) => Buffer.from(icon[0]).toString('hex'));
    assert.deepEqual(await ask('map(.icon[])'), icons);
    const views = contents.map((content) => String(content.views));
    assert.deepEqual(await ask('map(.views)'), views);
    const whole = contents.map(({ id, title, body }) => [String(id), title, body]);
    assert.deepEqual(await ask('map([.id, .title, .body])'), whole);
    assert.equal(await output('jq', '.posts_per_hour', mount.path('inspect', 'limits', 'all.json')), '10\n');
    const totals = await output('jq', '-r', '.total_length', all('json')[2]);
    assert.equal(totals, `${COUNT}\n`);
  });

  test('grep finds a text, and in which file', async () => {
    const wanted = contents.findIndex(({ body }, i) => i > 3_000 && /Zürich/.test(body));
    assert.ok(wanted > 0);
    const found = (await output('grep', '-rlF', `"${contents[wanted].title}"`, mount.path('inspect', 'content'))).trim().split('\n');
    const start = chunkName(1000 * Math.floor(wanted / 1000)).split('.')[0];
    assert.deepEqual(found.sort(), [`${start}.json`, `${start}.txt`].map((name) => mount.path('inspect', 'content', name)));
    // An element has a line of its own.
    const lines = (await output('grep', '-hF', `"${contents[wanted].title}"`, mount.path('inspect', 'content', `${start}.json`))).trim().split('\n');
    assert.equal(lines.length, 1);
    assert.ok(lines[0].includes(contents[wanted].author.toText()));
  });

  test('the text is what didc reads, and means the same as the chunk', async () => {
    const idl = await readFile(mount.path('backup', 'candid.did'), 'utf8');
    const taken = (type) => idl.replace(/service[^]*$/, `service : { take : (${type}) -> () }`);
    const types = { content: 'opt BackupContentChunk', users: 'opt BackupUserChunk', portals: 'opt BackupPortalChunk' };
    for (const [name, total] of Object.entries(canister.data.totals))
      for (const start of chunkStarts(total).slice(0, 2)) {
        const input = await readFile(mount.path('inspect', name, chunkName(start, 'txt')), 'utf8');
        const bytes = Buffer.from(didc.encode({ idl: taken(types[name]), withType: { kind: 'methodParams', name: 'take' }, input }), 'hex');
        const want = canister.data.chunk(name, start, Math.min(1000, total - start));
        assert.deepEqual(decode(REPLIES[METHODS[name]], bytes), want, `${name} ${start}`);
      }
  });

  test('sizes are those of what is read, and a second look is the same', async () => {
    for (const path of [...all('json'), ...all('txt'), mount.path('inspect', 'nfts', 'all.json')]) {
      const { size, mtimeMs } = await stat(path);
      const bytes = await readFile(path);
      assert.equal(bytes.length, size, path);
      assert.equal(bytes.at(-1), 10, 'ends in a newline');
      const again = await stat(path);
      assert.deepEqual([again.size, again.mtimeMs], [size, mtimeMs]);
    }
  });

  test('what is not there', async () => {
    for (const name of ['0000006000.json', '0000000000.candid', '0000000001.txt', '0000000000'])
      await assert.rejects(stat(mount.path('inspect', 'content', name)), { code: 'ENOENT' }, name);
    await assert.rejects(stat(mount.path('inspect', 'candid.did')), { code: 'ENOENT' });
  });

  test('cp -r takes it, too', async () => {
    const out = join(stage.dir, 'inspected');
    await output('cp', '-r', mount.path('inspect'), out);
    await output('diff', '-r', mount.path('inspect'), out);
  });
});
