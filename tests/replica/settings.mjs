// A canister's settings: defaults, checks, and the form in which canister_status shows them.
// Rules: IC interface spec, "IC method create_canister" and "update_settings".

import { Principal } from '@icp-sdk/core/principal';
import { RejectError } from './engine/reject.mjs';
import { equal } from './principal.mjs';

export const MAX_CONTROLLERS = 10;
const MAX_VIEWERS = 10;
const MAX_VARIABLES = 20;
const MAX_VARIABLE_BYTES = 128;
const MAX_NAT = { compute_allocation: 100n, memory_allocation: 2n ** 48n, freezing_threshold: 2n ** 64n - 1n };
const MAX_SIZE = 2n ** 48n;
const VISIBILITIES = ['log_visibility', 'snapshot_visibility', 'status_visibility'];

/** All but the controllers, as a new canister has them. */
export const DEFAULTS = Object.freeze({
  compute_allocation: 0n,
  memory_allocation: 0n,
  freezing_threshold: 2_592_000n, // 30 days
  reserved_cycles_limit: 5_000_000_000_000n,
  minimum_incoming_canister_call_cycles: 0n,
  wasm_memory_limit: 3n * 2n ** 30n,
  wasm_memory_threshold: 0n,
  log_memory_limit: 4096n,
  log_visibility: { controllers: null },
  snapshot_visibility: { controllers: null },
  status_visibility: { controllers: null },
  environment_variables: [],
});

const unreadable = (why) => new RejectError(4, 'IC0408', `Invalid settings: ${why}`);
const invalid = (why) => new RejectError(5, 'IC0504', `Could not validate the settings: ${why}`);

/**
 * What a request wants to change, checked.
 * @param {object|undefined} given  Candid: every field an opt
 * @returns {{controllers: Uint8Array[]|undefined, settings: object}}
 * @throws {RejectError}
 */
export function readSettings(given = {}) {
  const chosen = Object.entries(given).filter(([, value]) => value.length > 0);
  const { controllers, ...settings } = Object.fromEntries(chosen.map(([name, [value]]) => [name, value]));
  if (controllers?.length > MAX_CONTROLLERS) throw unreadable(`more than ${MAX_CONTROLLERS} controllers`);
  for (const [name, value] of Object.entries(settings)) checkSetting(name, value);
  return { controllers: controllers?.map((principal) => principal.toUint8Array()), settings };
}

function checkSetting(name, value) {
  if (typeof value === 'bigint' && value > (MAX_NAT[name] ?? (/limit|threshold/.test(name) ? MAX_SIZE : value))) {
    throw invalid(`${name} ${value} is too large`);
  }
  if (VISIBILITIES.includes(name) && value.allowed_viewers?.length > MAX_VIEWERS) {
    throw unreadable(`more than ${MAX_VIEWERS} allowed viewers`);
  }
  if (name === 'environment_variables') checkVariables(value);
}

function checkVariables(variables) {
  if (variables.length > MAX_VARIABLES) throw invalid(`more than ${MAX_VARIABLES} environment variables`);
  const tooLong = (text) => Buffer.byteLength(text) > MAX_VARIABLE_BYTES;
  if (variables.some(({ name, value }) => tooLong(name) || tooLong(value))) {
    throw invalid(`an environment variable of more than ${MAX_VARIABLE_BYTES} bytes`);
  }
  if (new Set(variables.map(({ name }) => name)).size < variables.length) {
    throw invalid('an environment variable that appears twice');
  }
}

/** As a record of canister_status. */
export function showSettings({ controllers, settings }) {
  return { controllers: controllers.map((bytes) => Principal.fromUint8Array(bytes)), ...settings };
}

/** Whether a visibility lets somebody see who is no controller. */
export function isVisibleTo(visibility, caller) {
  return 'public' in visibility || (visibility.allowed_viewers ?? []).some((viewer) => equal(viewer.toUint8Array(), caller));
}

// For saving: JSON knows neither bigints nor principals.

export function settingsToJson(settings) {
  return JSON.stringify(settings, (_name, value) => {
    if (typeof value === 'bigint') return { nat: String(value) };
    return value;
  });
}

export function settingsFromJson(text) {
  return JSON.parse(text, (_name, value) => {
    if (value?.nat !== undefined) return BigInt(value.nat);
    if (value?.__principal__ !== undefined) return Principal.fromText(value.__principal__); // as Principal writes itself
    return value;
  });
}
