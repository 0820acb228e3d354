// Changes to Wasm modules that tests need.

const leb = (value) => (value < 128 ? [value] : [(value & 127) | 128, ...leb(value >>> 7)]);

/** The module with one more custom section. */
export function withSection(module, name, content) {
  const label = Buffer.from(name);
  const body = Buffer.concat([Buffer.from(leb(label.length)), label, content]);
  return new Uint8Array(Buffer.concat([module, Buffer.from([0, ...leb(body.length)]), body]));
}
