// Who may read which paths of the state tree, and what a path reveals.
// Rules: IC interface spec, "Request: Read state", and its table of paths.

import { HttpError } from './http_error.mjs';
import { equal, hexOf } from './principal.mjs';

const ID_LENGTH = 32;
const STATUS_FIELDS = ['status', 'reply', 'reject_code', 'reject_message', 'error_code'];
const CANISTER_FIELDS = ['module_hash', 'controllers', 'canister_creation_timestamp', 'last_install_timestamp'];

const forbidden = (why) => new HttpError(403, `Forbidden: ${why}`);
const bad = (why) => new HttpError(400, `Bad request: ${why}`);

/** A label as text, or null when it is not UTF-8. */
function text(label) {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(label);
  } catch {
    return null;
  }
}

/**
 * @param {Uint8Array[][]} paths
 * @param {object} reader
 * @param {'canister'|'subnet'} reader.scope     which kind of endpoint
 * @param {boolean} reader.flat                  an older endpoint, with the flat form of ranges
 * @param {Uint8Array} reader.effectiveId
 * @param {Uint8Array} reader.sender
 * @param {(id: Uint8Array) => boolean} reader.mayReach  whether the sender's delegations name a canister
 * @param {object} state { canisters, ingress, subnetId, rootId }
 * @returns {Uint8Array[][]} the paths to reveal, each one a whole subtree
 * @throws {HttpError} 403, or 400
 */
export function readablePaths(paths, reader, state) {
  const requests = new Set(paths.filter((path) => isRequest(path)).map((path) => hexOf(path[1])));
  if (requests.size > 1) throw bad('more than one request id');
  return paths.flatMap((path) => {
    const rule = path.length > 0 && PATHS[text(path[0]) ?? ''];
    if (!rule) throw forbidden('no such path, or not to be read');
    return rule(path, reader, state);
  });
}

const isRequest = (path) => path.length > 1 && text(path[0]) === 'request_status';

const PATHS = {
  __proto__: null,

  time(path) {
    if (path.length > 1) throw forbidden('no path below time');
    return [path];
  },

  canister(path, reader, { canisters }) {
    const [, id, field, name] = path;
    if (reader.scope !== 'canister') throw forbidden('canister paths are not served to subnet requests');
    if (path.length < 3) throw forbidden('a canister is read field by field');
    if (!equal(id, reader.effectiveId)) throw forbidden('not the effective canister id');
    if (path.length === 3 && CANISTER_FIELDS.includes(text(field))) return [path];
    if (path.length !== 4 || text(field) !== 'metadata') throw forbidden('no such field of a canister');
    if (text(name) === null) throw bad('metadata name is not UTF-8');
    const canister = canisters.has(id) ? canisters.get(id) : null;
    const section = canister?.engine.metadata.get(text(name));
    if (section?.visibility === 'private' && !canister.isController(reader.sender)) {
      throw forbidden('private metadata, for controllers');
    }
    return [path];
  },

  request_status(path, reader, { ingress }) {
    const [, id, field] = path;
    if (reader.scope !== 'canister') throw forbidden('request status is not served to subnet requests');
    if (path.length < 2 || path.length > 3) throw forbidden('request status is read by request id');
    if (id.length !== ID_LENGTH) throw bad('request id is not 32 bytes');
    if (field !== undefined && !STATUS_FIELDS.includes(text(field))) throw forbidden('no such field of a request');
    const entry = ingress.find(id);
    if (entry !== null && !equal(entry.sender, reader.sender)) throw forbidden('not the sender of this request');
    if (entry !== null && !equal(entry.effectiveId, reader.effectiveId)) {
      throw forbidden('not the effective canister id of this request');
    }
    if (entry !== null && !reader.mayReach(entry.canisterId)) {
      throw forbidden('the canister of this request is not one of the delegation targets');
    }
    return [path];
  },

  subnet(path, reader, state) {
    const [top, id, field] = path;
    const shown = ['public_key', 'type', 'node'].map((name) => Buffer.from(name));
    if (path.length === 1) {
      return [state.rootId, state.subnetId].flatMap((subnet) => shown.map((name) => [top, subnet, name]));
    }
    if (path.length === 2) return shown.map((name) => [top, id, name]);
    const name = text(field);
    if (name === 'node' && path.length <= 5) return [path];
    if (path.length > 3) throw forbidden('no path below a field of a subnet');
    if (name === 'public_key' || name === 'type') return [path];
    if (name === 'canister_ranges' && (reader.flat || equal(id, state.rootId))) return [path];
    if (name === 'metrics' && reader.scope === 'subnet' && equal(id, state.subnetId)) return [path];
    throw forbidden('no such field of a subnet');
  },

  canister_ranges(path, reader) {
    if (reader.scope !== 'subnet') throw forbidden('canister ranges are served to subnet requests only');
    if (path.length < 2) throw forbidden('canister ranges are read by subnet');
    return [path];
  },

  api_boundary_nodes: (path) => [path],
};
