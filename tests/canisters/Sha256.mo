// SHA-256 (FIPS 180-4) of bytes in a Region. mo:core has none.
//
// Words are kept in Nat64, whose arithmetic the compiler translates to single instructions; that of Nat32 takes several
// times as many. A rotation is then a shift of the word and its copy in the upper half.
import Prim "mo:⛔";

module {
  let K : [Nat64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
  ];

  // Mixes n blocks of 64 bytes into the state. Sixteen rounds are written out, so that the eight variables need not change
  // their places and the words of the message are no array: in a short loop it takes six times the instructions.
  func compress(state : [var Nat64], region : Region, offset : Nat64, n : Nat64) {
    let low : Nat64 = 0xffff_ffff;
    let end = offset +% 64 *% n;
    var at = offset;
    var a = state[0];
    var b = state[1];
    var c = state[2];
    var d = state[3];
    var e = state[4];
    var f = state[5];
    var g = state[6];
    var h = state[7];
    while (at < end) {
      let a0 = a;
      let b0 = b;
      let c0 = c;
      let d0 = d;
      let e0 = e;
      let f0 = f;
      let g0 = g;
      let h0 = h;
      var x : Nat64 = 0;
      var y : Nat64 = 0;
      // Two words at once: the bytes of each are in the opposite order.
      x := Prim.regionLoadNat64(region, at +% 0);
      x := ((x & 0x00ff00ff00ff00ff) << 8) | ((x >> 8) & 0x00ff00ff00ff00ff);
      x := ((x & 0x0000ffff0000ffff) << 16) | ((x >> 16) & 0x0000ffff0000ffff);
      var w0 = x & low;
      var w1 = x >> 32;
      x := Prim.regionLoadNat64(region, at +% 8);
      x := ((x & 0x00ff00ff00ff00ff) << 8) | ((x >> 8) & 0x00ff00ff00ff00ff);
      x := ((x & 0x0000ffff0000ffff) << 16) | ((x >> 16) & 0x0000ffff0000ffff);
      var w2 = x & low;
      var w3 = x >> 32;
      x := Prim.regionLoadNat64(region, at +% 16);
      x := ((x & 0x00ff00ff00ff00ff) << 8) | ((x >> 8) & 0x00ff00ff00ff00ff);
      x := ((x & 0x0000ffff0000ffff) << 16) | ((x >> 16) & 0x0000ffff0000ffff);
      var w4 = x & low;
      var w5 = x >> 32;
      x := Prim.regionLoadNat64(region, at +% 24);
      x := ((x & 0x00ff00ff00ff00ff) << 8) | ((x >> 8) & 0x00ff00ff00ff00ff);
      x := ((x & 0x0000ffff0000ffff) << 16) | ((x >> 16) & 0x0000ffff0000ffff);
      var w6 = x & low;
      var w7 = x >> 32;
      x := Prim.regionLoadNat64(region, at +% 32);
      x := ((x & 0x00ff00ff00ff00ff) << 8) | ((x >> 8) & 0x00ff00ff00ff00ff);
      x := ((x & 0x0000ffff0000ffff) << 16) | ((x >> 16) & 0x0000ffff0000ffff);
      var w8 = x & low;
      var w9 = x >> 32;
      x := Prim.regionLoadNat64(region, at +% 40);
      x := ((x & 0x00ff00ff00ff00ff) << 8) | ((x >> 8) & 0x00ff00ff00ff00ff);
      x := ((x & 0x0000ffff0000ffff) << 16) | ((x >> 16) & 0x0000ffff0000ffff);
      var w10 = x & low;
      var w11 = x >> 32;
      x := Prim.regionLoadNat64(region, at +% 48);
      x := ((x & 0x00ff00ff00ff00ff) << 8) | ((x >> 8) & 0x00ff00ff00ff00ff);
      x := ((x & 0x0000ffff0000ffff) << 16) | ((x >> 16) & 0x0000ffff0000ffff);
      var w12 = x & low;
      var w13 = x >> 32;
      x := Prim.regionLoadNat64(region, at +% 56);
      x := ((x & 0x00ff00ff00ff00ff) << 8) | ((x >> 8) & 0x00ff00ff00ff00ff);
      x := ((x & 0x0000ffff0000ffff) << 16) | ((x >> 16) & 0x0000ffff0000ffff);
      var w14 = x & low;
      var w15 = x >> 32;
      var t = 0;
      label rounds loop {
        x := e | (e << 32);
        h := h +% ((x >> 6) ^ (x >> 11) ^ (x >> 25)) +% (g ^ (e & (f ^ g))) +% K[t] +% w0;
        d := (d +% h) & low;
        x := a | (a << 32);
        h := (h +% ((x >> 2) ^ (x >> 13) ^ (x >> 22)) +% ((a & b) | (c & (a | b)))) & low;
        x := d | (d << 32);
        g := g +% ((x >> 6) ^ (x >> 11) ^ (x >> 25)) +% (f ^ (d & (e ^ f))) +% K[t + 1] +% w1;
        c := (c +% g) & low;
        x := h | (h << 32);
        g := (g +% ((x >> 2) ^ (x >> 13) ^ (x >> 22)) +% ((h & a) | (b & (h | a)))) & low;
        x := c | (c << 32);
        f := f +% ((x >> 6) ^ (x >> 11) ^ (x >> 25)) +% (e ^ (c & (d ^ e))) +% K[t + 2] +% w2;
        b := (b +% f) & low;
        x := g | (g << 32);
        f := (f +% ((x >> 2) ^ (x >> 13) ^ (x >> 22)) +% ((g & h) | (a & (g | h)))) & low;
        x := b | (b << 32);
        e := e +% ((x >> 6) ^ (x >> 11) ^ (x >> 25)) +% (d ^ (b & (c ^ d))) +% K[t + 3] +% w3;
        a := (a +% e) & low;
        x := f | (f << 32);
        e := (e +% ((x >> 2) ^ (x >> 13) ^ (x >> 22)) +% ((f & g) | (h & (f | g)))) & low;
        x := a | (a << 32);
        d := d +% ((x >> 6) ^ (x >> 11) ^ (x >> 25)) +% (c ^ (a & (b ^ c))) +% K[t + 4] +% w4;
        h := (h +% d) & low;
        x := e | (e << 32);
        d := (d +% ((x >> 2) ^ (x >> 13) ^ (x >> 22)) +% ((e & f) | (g & (e | f)))) & low;
        x := h | (h << 32);
        c := c +% ((x >> 6) ^ (x >> 11) ^ (x >> 25)) +% (b ^ (h & (a ^ b))) +% K[t + 5] +% w5;
        g := (g +% c) & low;
        x := d | (d << 32);
        c := (c +% ((x >> 2) ^ (x >> 13) ^ (x >> 22)) +% ((d & e) | (f & (d | e)))) & low;
        x := g | (g << 32);
        b := b +% ((x >> 6) ^ (x >> 11) ^ (x >> 25)) +% (a ^ (g & (h ^ a))) +% K[t + 6] +% w6;
        f := (f +% b) & low;
        x := c | (c << 32);
        b := (b +% ((x >> 2) ^ (x >> 13) ^ (x >> 22)) +% ((c & d) | (e & (c | d)))) & low;
        x := f | (f << 32);
        a := a +% ((x >> 6) ^ (x >> 11) ^ (x >> 25)) +% (h ^ (f & (g ^ h))) +% K[t + 7] +% w7;
        e := (e +% a) & low;
        x := b | (b << 32);
        a := (a +% ((x >> 2) ^ (x >> 13) ^ (x >> 22)) +% ((b & c) | (d & (b | c)))) & low;
        x := e | (e << 32);
        h := h +% ((x >> 6) ^ (x >> 11) ^ (x >> 25)) +% (g ^ (e & (f ^ g))) +% K[t + 8] +% w8;
        d := (d +% h) & low;
        x := a | (a << 32);
        h := (h +% ((x >> 2) ^ (x >> 13) ^ (x >> 22)) +% ((a & b) | (c & (a | b)))) & low;
        x := d | (d << 32);
        g := g +% ((x >> 6) ^ (x >> 11) ^ (x >> 25)) +% (f ^ (d & (e ^ f))) +% K[t + 9] +% w9;
        c := (c +% g) & low;
        x := h | (h << 32);
        g := (g +% ((x >> 2) ^ (x >> 13) ^ (x >> 22)) +% ((h & a) | (b & (h | a)))) & low;
        x := c | (c << 32);
        f := f +% ((x >> 6) ^ (x >> 11) ^ (x >> 25)) +% (e ^ (c & (d ^ e))) +% K[t + 10] +% w10;
        b := (b +% f) & low;
        x := g | (g << 32);
        f := (f +% ((x >> 2) ^ (x >> 13) ^ (x >> 22)) +% ((g & h) | (a & (g | h)))) & low;
        x := b | (b << 32);
        e := e +% ((x >> 6) ^ (x >> 11) ^ (x >> 25)) +% (d ^ (b & (c ^ d))) +% K[t + 11] +% w11;
        a := (a +% e) & low;
        x := f | (f << 32);
        e := (e +% ((x >> 2) ^ (x >> 13) ^ (x >> 22)) +% ((f & g) | (h & (f | g)))) & low;
        x := a | (a << 32);
        d := d +% ((x >> 6) ^ (x >> 11) ^ (x >> 25)) +% (c ^ (a & (b ^ c))) +% K[t + 12] +% w12;
        h := (h +% d) & low;
        x := e | (e << 32);
        d := (d +% ((x >> 2) ^ (x >> 13) ^ (x >> 22)) +% ((e & f) | (g & (e | f)))) & low;
        x := h | (h << 32);
        c := c +% ((x >> 6) ^ (x >> 11) ^ (x >> 25)) +% (b ^ (h & (a ^ b))) +% K[t + 13] +% w13;
        g := (g +% c) & low;
        x := d | (d << 32);
        c := (c +% ((x >> 2) ^ (x >> 13) ^ (x >> 22)) +% ((d & e) | (f & (d | e)))) & low;
        x := g | (g << 32);
        b := b +% ((x >> 6) ^ (x >> 11) ^ (x >> 25)) +% (a ^ (g & (h ^ a))) +% K[t + 14] +% w14;
        f := (f +% b) & low;
        x := c | (c << 32);
        b := (b +% ((x >> 2) ^ (x >> 13) ^ (x >> 22)) +% ((c & d) | (e & (c | d)))) & low;
        x := f | (f << 32);
        a := a +% ((x >> 6) ^ (x >> 11) ^ (x >> 25)) +% (h ^ (f & (g ^ h))) +% K[t + 15] +% w15;
        e := (e +% a) & low;
        x := b | (b << 32);
        a := (a +% ((x >> 2) ^ (x >> 13) ^ (x >> 22)) +% ((b & c) | (d & (b | c)))) & low;
        t += 16;
        if (t == 64) break rounds;
        // The next sixteen words.
        x := w1 | (w1 << 32);
        y := w14 | (w14 << 32);
        w0 := (w0 +% w9 +% ((x >> 7) ^ (x >> 18) ^ (w1 >> 3)) +% ((y >> 17) ^ (y >> 19) ^ (w14 >> 10))) & low;
        x := w2 | (w2 << 32);
        y := w15 | (w15 << 32);
        w1 := (w1 +% w10 +% ((x >> 7) ^ (x >> 18) ^ (w2 >> 3)) +% ((y >> 17) ^ (y >> 19) ^ (w15 >> 10))) & low;
        x := w3 | (w3 << 32);
        y := w0 | (w0 << 32);
        w2 := (w2 +% w11 +% ((x >> 7) ^ (x >> 18) ^ (w3 >> 3)) +% ((y >> 17) ^ (y >> 19) ^ (w0 >> 10))) & low;
        x := w4 | (w4 << 32);
        y := w1 | (w1 << 32);
        w3 := (w3 +% w12 +% ((x >> 7) ^ (x >> 18) ^ (w4 >> 3)) +% ((y >> 17) ^ (y >> 19) ^ (w1 >> 10))) & low;
        x := w5 | (w5 << 32);
        y := w2 | (w2 << 32);
        w4 := (w4 +% w13 +% ((x >> 7) ^ (x >> 18) ^ (w5 >> 3)) +% ((y >> 17) ^ (y >> 19) ^ (w2 >> 10))) & low;
        x := w6 | (w6 << 32);
        y := w3 | (w3 << 32);
        w5 := (w5 +% w14 +% ((x >> 7) ^ (x >> 18) ^ (w6 >> 3)) +% ((y >> 17) ^ (y >> 19) ^ (w3 >> 10))) & low;
        x := w7 | (w7 << 32);
        y := w4 | (w4 << 32);
        w6 := (w6 +% w15 +% ((x >> 7) ^ (x >> 18) ^ (w7 >> 3)) +% ((y >> 17) ^ (y >> 19) ^ (w4 >> 10))) & low;
        x := w8 | (w8 << 32);
        y := w5 | (w5 << 32);
        w7 := (w7 +% w0 +% ((x >> 7) ^ (x >> 18) ^ (w8 >> 3)) +% ((y >> 17) ^ (y >> 19) ^ (w5 >> 10))) & low;
        x := w9 | (w9 << 32);
        y := w6 | (w6 << 32);
        w8 := (w8 +% w1 +% ((x >> 7) ^ (x >> 18) ^ (w9 >> 3)) +% ((y >> 17) ^ (y >> 19) ^ (w6 >> 10))) & low;
        x := w10 | (w10 << 32);
        y := w7 | (w7 << 32);
        w9 := (w9 +% w2 +% ((x >> 7) ^ (x >> 18) ^ (w10 >> 3)) +% ((y >> 17) ^ (y >> 19) ^ (w7 >> 10))) & low;
        x := w11 | (w11 << 32);
        y := w8 | (w8 << 32);
        w10 := (w10 +% w3 +% ((x >> 7) ^ (x >> 18) ^ (w11 >> 3)) +% ((y >> 17) ^ (y >> 19) ^ (w8 >> 10))) & low;
        x := w12 | (w12 << 32);
        y := w9 | (w9 << 32);
        w11 := (w11 +% w4 +% ((x >> 7) ^ (x >> 18) ^ (w12 >> 3)) +% ((y >> 17) ^ (y >> 19) ^ (w9 >> 10))) & low;
        x := w13 | (w13 << 32);
        y := w10 | (w10 << 32);
        w12 := (w12 +% w5 +% ((x >> 7) ^ (x >> 18) ^ (w13 >> 3)) +% ((y >> 17) ^ (y >> 19) ^ (w10 >> 10))) & low;
        x := w14 | (w14 << 32);
        y := w11 | (w11 << 32);
        w13 := (w13 +% w6 +% ((x >> 7) ^ (x >> 18) ^ (w14 >> 3)) +% ((y >> 17) ^ (y >> 19) ^ (w11 >> 10))) & low;
        x := w15 | (w15 << 32);
        y := w12 | (w12 << 32);
        w14 := (w14 +% w7 +% ((x >> 7) ^ (x >> 18) ^ (w15 >> 3)) +% ((y >> 17) ^ (y >> 19) ^ (w12 >> 10))) & low;
        x := w0 | (w0 << 32);
        y := w13 | (w13 << 32);
        w15 := (w15 +% w8 +% ((x >> 7) ^ (x >> 18) ^ (w0 >> 3)) +% ((y >> 17) ^ (y >> 19) ^ (w13 >> 10))) & low;
      };
      a := (a +% a0) & low;
      b := (b +% b0) & low;
      c := (c +% c0) & low;
      d := (d +% d0) & low;
      e := (e +% e0) & low;
      f := (f +% f0) & low;
      g := (g +% g0) & low;
      h := (h +% h0) & low;
      at +%= 64;
    };
    state[0] := a;
    state[1] := b;
    state[2] := c;
    state[3] := d;
    state[4] := e;
    state[5] := f;
    state[6] := g;
    state[7] := h;
  };

  // Bytes of a region, from its beginning, that ofRegion writes.
  public let SCRATCH : Nat64 = 128;

  // Of `size` bytes that begin at `offset`, which are all there.
  public func ofRegion(region : Region, offset : Nat64, size : Nat64, scratch : Region) : Blob {
    let state : [var Nat64] = [
      var 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
    ];
    let left = size % 64;
    compress(state, region, offset, size / 64);
    // The last block or two: what is left of the bytes, the bit that ends them, zeros, the number of bits, big endian.
    let rest = if (left == 0) [] else Prim.blobToArray(Prim.regionLoadBlob(region, offset + (size - left), Prim.nat64ToNat(left)));
    let blocks : Nat64 = if (left < 56) 1 else 2;
    let bits = 8 * size;
    func byte(i : Nat) : Nat8 {
      let at = Prim.natToNat64(i);
      if (at < left) rest[i] else if (at == left) 0x80 else if (at + 8 < 64 * blocks) 0 else byteOf(bits, 64 * blocks - 1 - at);
    };
    Prim.regionStoreBlob(scratch, 0, Prim.arrayToBlob(Prim.Array_tabulate<Nat8>(Prim.nat64ToNat(64 * blocks), byte)));
    compress(state, scratch, 0, blocks);
    Prim.arrayToBlob(Prim.Array_tabulate<Nat8>(32, func(i) { byteOf(state[i / 4], Prim.natToNat64(3 - i % 4 : Nat)) }));
  };

  // The i-th byte of a number, the least first.
  func byteOf(n : Nat64, i : Nat64) : Nat8 { Prim.natToNat8(Prim.nat64ToNat((n >> (8 * i)) & 0xff)) };
};
