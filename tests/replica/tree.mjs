// Hash trees: the state as a labelled tree, its root hash, and witnesses that reveal some of its paths.
// Rules: IC interface spec, "Certification", Merkle trees and lookup.

import { domain, sha256, sha256Of } from './hash.mjs';

const EMPTY = domain('ic-hashtree-empty');
const FORK = domain('ic-hashtree-fork');
const LABELED = domain('ic-hashtree-labeled');
const LEAF = domain('ic-hashtree-leaf');

class Empty {
  hash = sha256(EMPTY);
  get cbor() {
    return [0];
  }
}

class Fork {
  constructor(left, right) {
    this.left = left;
    this.right = right;
    this.hash = sha256(Buffer.concat([FORK, left.hash, right.hash]));
  }
  get cbor() {
    return [1, this.left.cbor, this.right.cbor];
  }
}

class Labeled {
  constructor(label, child) {
    this.label = label;
    this.child = child;
    this.hash = sha256(Buffer.concat([LABELED, label, child.hash]));
  }
  get cbor() {
    return [2, this.label, this.child.cbor];
  }
}

class Leaf {
  constructor(value) {
    this.value = value;
    this.hash = sha256Of(LEAF, value);
  }
  get cbor() {
    return [3, this.value];
  }
}

class Pruned {
  constructor(hash) {
    this.hash = hash;
  }
  get cbor() {
    return [4, this.hash];
  }
}

/** A level: its labelled nodes in order, and the balanced forks over them. */
class Level {
  constructor(nodes) {
    this.nodes = nodes;
    this.top = nodes.length === 0 ? new Empty() : balance(nodes, 0, nodes.length);
    this.hash = this.top.hash;
  }
  get isEmpty() {
    return this.nodes.length === 0;
  }
  get cbor() {
    return this.top.cbor;
  }
}

function balance(nodes, from, to) {
  if (to - from === 1) return nodes[from];
  const middle = (from + to) >> 1;
  return new Fork(balance(nodes, from, middle), balance(nodes, middle, to));
}

const labelBytes = (label) => (typeof label === 'string' ? Buffer.from(label) : label);

export const leaf = (value) => new Leaf(labelBytes(value));

/** A level from [label, subtree] pairs in any order; labels are texts or bytes. */
export function level(entries) {
  const nodes = entries.map(([label, child]) => new Labeled(labelBytes(label), child));
  nodes.sort((a, b) => Buffer.compare(a.label, b.label));
  return new Level(nodes);
}

/** Where a label is among the nodes of a level, or would be. */
function position({ nodes }, label) {
  let low = 0;
  let high = nodes.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (Buffer.compare(nodes[middle].label, label) < 0) low = middle + 1;
    else high = middle;
  }
  return { at: low, found: low < nodes.length && Buffer.compare(nodes[low].label, label) === 0 };
}

/**
 * A tree with the same root hash in which the subtrees at the paths are complete and everything else is pruned.
 * Where a path leads nowhere, the labels on both sides of the gap stay: without them a client could not tell absence
 * from pruning.
 * @param {Uint8Array[][]} paths
 */
export function witness(tree, paths) {
  if (paths.some((path) => path.length === 0)) return tree;
  if (!(tree instanceof Level)) return tree; // below a leaf there is nothing; the leaf itself shows it
  const revealed = new Map(); // index of a node -> paths below it; none = the label alone
  for (const [label, ...rest] of paths) {
    const { at, found } = position(tree, labelBytes(label));
    for (const index of found ? [at] : [at - 1, at]) {
      if (index < 0 || index >= tree.nodes.length) continue;
      const below = revealed.get(index) ?? [];
      if (found) below.push(rest);
      revealed.set(index, below);
    }
  }
  return prune(tree, revealed);
}

function prune(level, revealed) {
  const indices = [...revealed.keys()].sort((a, b) => a - b);
  const hit = (from, to) => indices.some((index) => index >= from && index < to);
  const walk = (node, from, to) => {
    if (node instanceof Empty) return node;
    if (!hit(from, to)) return new Pruned(node.hash);
    if (node instanceof Fork) {
      const middle = (from + to) >> 1;
      return new Fork(walk(node.left, from, middle), walk(node.right, middle, to));
    }
    const paths = revealed.get(from);
    return new Labeled(node.label, paths.length === 0 ? new Pruned(node.child.hash) : witness(node.child, paths));
  };
  return walk(level.top, 0, level.nodes.length);
}
