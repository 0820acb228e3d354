// Certificates: state versions signed by the subnet, and the root's delegation to the subnet.
// Rules: IC interface spec, "Certification", certificate and delegation.
//
// A BLS signature takes milliseconds of the only thread. So a version of the state is signed once and serves every
// certificate until the state changes or the version gets old, and calls that finish together share one. A reply of 2 MiB goes into its certificate uncopied.

import { encodeInPieces, encodeTagged } from './cbor.mjs';
import { leb128, STATE_ROOT } from './hash.mjs';
import { leaf, level, witness } from './tree.mjs';

const VERSION_AGE_MS = 200;

/** Canister ids of the subnet, closed intervals, as the tree holds them: one shard per interval. */
export function rangeShards(ranges) {
  return level(ranges.map((range) => [range[0], leaf(encodeTagged([range]))]));
}

const signTree = (key, tree) => key.sign(Buffer.concat([STATE_ROOT, tree.hash]));

const encodeCertificate = (tree, signature, delegation) =>
  encodeInPieces(delegation ? { tree: tree.cbor, signature, delegation } : { tree: tree.cbor, signature });

/**
 * The root subnet's word for the subnet's key and canister ids: the `delegation` field of certificates, in each form
 * that endpoints need. A certificate about a canister reveals that canister's shard alone, as the mainnet does;
 * @icp-sdk/core 6.1.0 takes the wrong one of two.
 */
export class Delegations {
  #shards; // [{ low, high, delegation }]
  #flat;
  #bare;

  constructor(keys, ranges, time) {
    const id = keys.subnet.id;
    const own = [
      ['public_key', leaf(keys.subnet.der)],
      ['canister_ranges', leaf(encodeTagged(ranges))],
    ];
    const tree = level([
      ['time', leaf(leb128(time))],
      ['canister_ranges', level([[id, rangeShards(ranges)]])],
      ['subnet', level([[id, level(own)]])],
    ]);
    const signature = signTree(keys.root, tree);
    const form = (...more) => {
      const paths = [['time'], ['subnet', id, 'public_key'], ...more];
      return { subnet_id: id, certificate: encodeCertificate(witness(tree, paths), signature).toBytes() };
    };
    this.#shards = ranges.map(([low, high]) => ({ low, high, delegation: form(['canister_ranges', id, low]) }));
    this.#flat = form(['subnet', id, 'canister_ranges']);
    this.#bare = form();
  }

  /**
   * @param {'sharded'|'flat'} form     of the canister ranges
   * @param {Uint8Array|null} canister  null: the certificate is about the subnet
   */
  find(form, canister) {
    if (form === 'flat') return this.#flat;
    if (canister === null) return this.#bare;
    const inside = ({ low, high }) => Buffer.compare(low, canister) <= 0 && Buffer.compare(canister, high) <= 0;
    return (this.#shards.find(inside) ?? this.#shards[0]).delegation;
  }
}

export class Certifier {
  #key;
  #build;
  #now;
  #version = null; // { tree, signature, madeMs }, null when the state changed since
  #soon = null;

  /**
   * @param {object} given
   * @param {object} given.keys
   * @param {(time: bigint, wrong: object|null) => object} given.build  the state tree at a time; see IngressHistory.tree
   * @param {() => bigint} given.now
   */
  constructor({ keys, build, now }) {
    this.#key = keys.subnet;
    this.#build = build;
    this.#now = now;
  }

  /** The state changed: the next certificate shows it. */
  changed() {
    this.#version = null;
  }

  /**
   * The certificate that reveals the paths, and always the time.
   * @param {Uint8Array[][]} paths
   * @param {object} delegation  of Delegations
   * @param {object|null} [wrong] what a fault has otherwise: { time?, key?, request?, alter? }; such a version is not kept
   * @returns {Encoded}
   */
  certify(paths, delegation, wrong = null) {
    const { tree, signature } = wrong === null ? this.#current() : this.#make(wrong);
    return encodeCertificate(witness(tree, [['time'], ...paths]), signature, delegation);
  }

  /** As certify, after whatever else is ready to run: everything that changes the state now shares a version. */
  async certifySoon(paths, delegation, wrong) {
    this.#soon ??= new Promise((resolve) => {
      setImmediate(() => {
        this.#soon = null;
        resolve();
      });
    });
    await this.#soon;
    return this.certify(paths, delegation, wrong);
  }

  #current() {
    if (this.#version === null || performance.now() - this.#version.madeMs > VERSION_AGE_MS) {
      this.#version = this.#make({});
    }
    return this.#version;
  }

  #make({ time = this.#now(), key = this.#key, request = null, alter = (signature) => signature }) {
    const tree = this.#build(time, request);
    return { tree, signature: alter(signTree(key, tree)), madeMs: performance.now() };
  }
}
