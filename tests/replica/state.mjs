// The system state tree of the subnet. Paths: IC interface spec, "The system state tree".

import { encodeTagged } from './cbor.mjs';
import { rangeShards } from './certificate.mjs';
import { leb128 } from './hash.mjs';
import { leaf, level } from './tree.mjs';

/**
 * @param {object} given
 * @param {bigint} given.time
 * @param {object} given.subnets  of subnetTrees()
 * @param {object} given.ranges   of subnetTrees()
 * @param {Iterable<object>} given.canisters
 * @param {object} given.requests  the subtree request_status
 */
export function stateTree({ time, subnets, ranges, canisters, requests }) {
  return filled([
    ['time', leaf(leb128(time))],
    ['canister', level([...canisters].map((canister) => [canister.id, canisterTree(canister)]))],
    ['canister_ranges', ranges],
    ['request_status', requests],
    ['subnet', subnets],
  ]);
}

/** A level without the subtrees that have nothing in them: not every client can walk over an empty node. */
const filled = (entries) => level(entries.filter(([, child]) => !child.isEmpty));

/** The parts that only a change of the subnet's members changes: subnets with keys and nodes, and the ranges. */
export function subnetTrees(keys, ranges) {
  const { root, subnet, nodes } = keys;
  const nodeTree = level(nodes.map(({ id, der }) => [id, level([['public_key', leaf(der)]])]));
  return {
    subnets: level([
      [root.id, level([['public_key', leaf(root.der)], ['type', leaf('system')]])],
      [
        subnet.id,
        level([
          ['public_key', leaf(subnet.der)],
          ['type', leaf('application')],
          ['canister_ranges', leaf(encodeTagged(ranges))],
          ['node', nodeTree],
        ]),
      ],
    ]),
    ranges: level([[subnet.id, rangeShards(ranges)]]),
  };
}

function canisterTree(canister) {
  canister.subtree ??= makeCanisterTree(canister);
  return canister.subtree;
}

function makeCanisterTree({ controllers, engine }) {
  const entries = [
    ['controllers', leaf(encodeTagged(controllers))],
    ['certified_data', leaf(engine.certifiedData)],
    ['metadata', level([...engine.metadata].map(([name, { content }]) => [name, leaf(content)]))],
  ];
  if (engine.moduleHash !== null) entries.push(['module_hash', leaf(engine.moduleHash)]);
  return filled(entries);
}
