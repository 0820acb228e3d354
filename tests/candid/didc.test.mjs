// Candid against DFINITY's didc, on random types and values: what we read of a text, it reads; what we print of a message, it
// prints, layout included; what we make of a message at other types, it makes. CANDID_SEED repeats a run; CANDID_ROUNDS is how
// many argument lists.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import didc from '@dfinity/didc'

const top = fileURLToPath(new URL('../..', import.meta.url))
const seed = Number(process.env.CANDID_SEED ?? Math.floor(Math.random() * 2 ** 32))
const rounds = Number(process.env.CANDID_ROUNDS ?? 2500)
console.log(`# CANDID_SEED=${seed}`)

// ---- our side: a process that answers line by line ----

const tool = spawn(process.env.CANDID_TOOL ?? `${top}build/tests/ic/candid_tool`, { stdio: ['pipe', 'pipe', 'inherit'] })
const waiting = []
createInterface({ input: tool.stdout }).on('line', line => waiting.shift()(line))
tool.on('exit', status => waiting.splice(0).forEach(resolve => resolve(`error the tool ended with status ${status}`)))
after(() => tool.stdin.end())

const hexOf = text => Buffer.from(text).toString('hex')

/** The answer in bytes, or null and why in `refused`. */
let refused
async function ask(request, idl, operand) {
  const line = await new Promise(resolve => {
    waiting.push(resolve)
    tool.stdin.write(`${request} ${idl ? hexOf(idl) : '-'} ${operand}\n`)
  })
  refused = line.startsWith('ok ') ? undefined : line
  return refused ? null : Buffer.from(line.slice(3), 'hex')
}
const print = async (idl, message) => (await ask('print', idl, message))?.toString()
const coerce = async (idl, message) => (await ask('coerce', idl, message))?.toString()
const encode = async (idl, text) => (await ask('encode', idl, hexOf(text)))?.toString('hex')

// ---- didc's side ----

const none = 'service : {}'
const withType = { kind: 'methodParams', name: 'm' }
let didcRefused // why
function theirs(work) {
  try {
    return work()
  } catch (error) {
    didcRefused = String(error.message ?? error)
    return null
  }
}
const didcEncode = (idl, text) => theirs(() => didc.encode(idl ? { idl, input: text, withType } : { idl: none, input: text }))
const didcPrint = (idl, message) =>
  theirs(() =>
    didc.decode(
      idl ? { idl, input: message, serviceMethod: 'm', useServiceMethodReturnType: false } : { idl: none, input: message },
    ),
  )

// ---- random types and values ----

let state = seed >>> 0
function random(n) { // xorshift32
  state ^= state << 13
  state ^= state >>> 17
  state ^= state << 5
  state >>>= 0
  return state % n
}
if (state === 0) state = 1
const pick = list => list[random(list.length)]
const times = (n, make) => Array.from({ length: n }, (_, i) => make(i))

// Without "_", which didc drops when it decodes at types.
const names = ['a', 'owner', 'id', 'nat', 'text', 'opt', 'a b', 'Ok', 'Err', '', '☃', "it's", 'x1', 'x_', '字', 'long_field_name_of_some_kind']
const quoted = text => JSON.stringify(text).replaceAll(/\\u([0-9a-f]{4})/g, '\\u{$1}').replaceAll('\\b', '\\08').replaceAll('\\f', '\\0c')
const width = { nat8: 8, nat16: 16, nat32: 32, nat64: 64, int8: 8, int16: 16, int32: 32, int64: 64 }
// Without NUL, which didc prints as an escape it does not read; we print another.
const alphabet = ['a', 'Z', '0', ' ', '"', '\\', "'", '\n', '\t', '\r', '\u0001', '\u007f', 'é', '☃', '字', '💩', '\u200b', '\u202e', '\u0301', 'word ']
const principals = ['aaaaa-aa', '2vxsx-fae', 'ryjl3-tyaaa-aaaaa-aaaba-cai', 'bnkmk-jqaaa-aaaaa-aaaaa-aaaaa-aaaaa-aaaaa-aaaaa-aaaaa-aaaaa-aaa']

const digits = (n, first) => times(n, i => (i === 0 && first ? 1 + random(9) : random(10))).join('')
function integer(bits, signed) {
  const any = BigInt(digits(1 + random(bits === 0 ? 60 : 20), true))
  const max = bits === 0 ? any : 2n ** BigInt(bits - (signed ? 1 : 0)) - 1n
  const magnitude = pick([0n, 1n, max, any % (max + 1n), any % 1000n % (max + 1n)])
  if (!signed || random(2)) return pick([magnitude.toString(), magnitude.toString(), `0x${magnitude.toString(16)}`])
  return `-${magnitude}`
}
function float(single) {
  const sign = pick(['', '-'])
  const exponent = random(single ? 70 : 600) - (single ? 40 : 310)
  return sign + pick(['0.0', '1.5', `${random(1e6)}.${digits(1 + random(9))}`, `${1 + random(9)}.${digits(1 + random(17))}e${exponent}`])
}
const text = () => times(random(random(4) ? 8 : 60), () => pick(alphabet)).join('')

// Some names need quotes; not those of tags, which didc forgets to quote in its compact form.
const tags = names.filter(name => !['nat', 'text', 'opt', 'a b', '', '☃', "it's", '字'].includes(name))

let typesLeft, valuesLeft // of an argument list, so that none gets long

/** What somebody may declare who expects something else: the type, or one that is near to it or of another kind. `same` is the
 * type with such changes to its parts. Left out is where this didc has rules of before, for opt opt T, opt reserved, reserved at
 * null and services as principals; and blobs for vecs, which it refuses even without elements. */
function change(type, same) {
  if (random(8)) return type === 'nat' && !random(4) ? 'int' : same
  if (/^(service|reserved)/.test(type)) return same
  const fresh = makeType(2).type
  const isOld = /opt (opt|reserved)|nat8|blob/.test(fresh)
  return pick(['reserved', /^(opt|reserved)/.test(same) ? same : `opt ${same}`, isOld ? 'opt nat' : fresh])
}

/** A type: its text, a maker of values in text, and a maker of types that these may or may not fit. */
function makeType(depth) {
  const scalars = ['bool', 'nat', 'int', ...Object.keys(width), 'float32', 'float64', 'text', 'null', 'reserved', 'principal', 'blob', 'func', 'service']
  const kind = pick(depth > 0 && typesLeft-- > 0 ? [...times(6, () => pick(scalars)), 'opt', 'opt', 'vec', 'vec', 'record', 'record', 'tuple', 'variant', 'variant'] : scalars)
  const inner = () => makeType(depth - 1)
  const made = (type, value, same = () => type) => ({ type, value, other: () => change(type, same()) })
  const scalar = value => made(kind, value)
  switch (kind) {
    case 'bool': return scalar(() => pick(['true', 'false']))
    case 'nat': return scalar(() => integer(0, false))
    case 'int': return scalar(() => integer(0, true))
    case 'float32': return scalar(() => float(true))
    case 'float64': return scalar(() => float(false))
    case 'text': return scalar(() => quoted(text()))
    case 'null': case 'reserved': return scalar(() => 'null')
    case 'principal': return scalar(() => `principal "${pick(principals)}"`)
    case 'blob': return scalar(() => `blob "${times(random(40), () => pick(['a', 'b', ' ', '\\0a', '\\22', '`', `\\${digits(2)}`])).join('')}"`)
    case 'func': return made('func () -> () query', () => `func "${pick(principals)}".${quoted(pick(names))}`)
    case 'service': return made('service {}', () => `service "${pick(principals)}"`)
    case 'opt': {
      const t = inner()
      return made(`opt ${t.type}`, () => (valuesLeft-- > 0 && random(4) ? `opt ${t.value()}` : 'null'), () => `opt ${t.other()}`)
    }
    case 'vec': {
      const t = inner()
      const count = () => (valuesLeft-- > 0 ? random(random(4) ? 6 : 14) : 0)
      return made(`vec ${t.type}`, () => `vec { ${times(count(), t.value).join('; ')} }`, () => `vec ${t.other()}`)
    }
    case 'tuple': {
      const parts = times(random(4), inner)
      const record = list => `record { ${list.join('; ')} }`
      return made(record(parts.map(t => t.type)), () => record(parts.map(t => t.value())), () => record(parts.map(t => t.other())))
    }
    case 'record': case 'variant': {
      const labels = [...new Set(times(random(5) + (kind === 'variant' ? 1 : 0), () => pick(kind === 'variant' ? tags : names)))]
      const fields = labels.map(name => ({ name: quoted(name), ...inner() }))
      const braces = list => `${kind} { ${list.join('; ')} }`
      const one = f => `${f.name} = ${f.value()}`
      const more = () => (random(3) ? [] : [`more : ${pick(['null', 'opt text', 'reserved', 'text'])}`])
      return made(
        braces(fields.map(f => `${f.name} : ${f.type}`)),
        () => braces(kind === 'record' ? fields.map(one) : [one(pick(fields))]),
        () => braces([...fields.filter(() => random(8)).map(f => `${f.name} : ${f.other()}`), ...more()]),
      )
    }
    default: return scalar(() => integer(width[kind], kind.startsWith('int')))
  }
}

function makeArgs() {
  typesLeft = 30
  valuesLeft = 30
  const types = times(random(4), () => makeType(random(5) === 0 ? 13 : random(5)))
  const service = list => `service : { m : (${list.join(', ')}) -> () }`
  return {
    idl: service(types.map(t => t.type)),
    text: `(${types.map(t => t.value()).join(', ')})`,
    other: () => service(types.slice(0, types.length - (random(10) ? 0 : 1)).map(t => t.other())),
  }
}

// ---- tests ----

test('what didc reads of a text at types, we read; what it prints, we print; and that is read again', async () => {
  let compared = 0
  for (let i = 0; i < rounds; i++) {
    const { idl, text: source } = makeArgs()
    const message = didcEncode(idl, source)
    const note = `round ${i}: ${idl}\n${source}`
    assert.notEqual(message, null, `didc refuses ${note}`)
    const ours = await encode(idl, source)
    assert.notEqual(ours, undefined, `${refused} ${note}`)

    const plain = didcPrint(null, message)
    assert.equal(didcPrint(null, ours), plain, `encoded otherwise: ${note}`)
    assert.equal(await print(null, message), plain, note)
    assert.equal(await print(idl, message), didcPrint(idl, message), `with names: ${note}`)

    const again = await encode(idl, plain)
    assert.notEqual(again, undefined, `${refused} ${note}\n${plain}`)
    assert.equal(await print(null, again), plain, `read again: ${note}`)
    // Without types null is of type null, but what is printed is read.
    assert.notEqual(await encode(null, plain), undefined, `${refused} without types: ${note}\n${plain}`)
    compared++
  }
  assert.equal(compared, rounds)
})

test('texts with a mistake: what didc refuses, we refuse, and the other way round', async () => {
  let accepted = 0
  for (let i = 0; i < rounds; i++) {
    const { idl, text: source } = makeArgs()
    const at = random(source.length + 1)
    const insert = pick(['', '', '(', ')', '{', '}', ';', ',', '=', ' ', '.', '-', '+', '_', '0', '7', 'e', '"', '\\', '\\u{41}', 'null', 'opt ', ' : nat', ' : int8', '/*', '//'])
    const text = source.slice(0, at) + insert + source.slice(at + random(3))
    if (text.includes('0X')) continue // didc ends
    const message = didcEncode(idl, text)
    const ours = await encode(idl, text)
    // This didc takes missing opts and reserved only, and of fields only; the specification null, and arguments, too.
    if (message === null && /record field .* not found|wrong number of argument values/.test(didcRefused)) continue
    if (/number too large for its type/.test(refused)) continue // infinity for didc
    assert.equal(ours !== undefined, message !== null, `${refused ?? 'accepted'}: ${idl}\n${text}`)
    if (message === null) continue
    accepted++
    assert.equal(didcPrint(null, ours), didcPrint(null, message), `${idl}\n${text}`)
  }
  assert.ok(accepted > rounds / 20, `${accepted} accepted`)
})

test('messages at other types: what didc makes of them, we make', async () => {
  let accepted = 0
  for (let i = 0; i < rounds; i++) {
    const { idl, text: source, other } = makeArgs()
    const message = didcEncode(idl, source)
    assert.notEqual(message, null, `didc refuses round ${i}: ${idl}\n${source}`)
    const expected = other()
    const theirs = didcPrint(expected, message)
    const ours = await coerce(expected, message)
    const note = `${refused ?? didcRefused}: round ${i}: ${idl}\n${source}\nat ${expected}`
    assert.equal(ours ?? null, theirs, note)
    accepted += theirs !== null
  }
  assert.ok(accepted > rounds / 4 && accepted < rounds, `${accepted} accepted`)
})
