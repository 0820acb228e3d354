// The read side of the stable memory convention over a Region, as a Motoko canister offers it. What each method
// takes and returns: sample.did. The data are `length` bytes at the start of the region.
import Prim "mo:⛔";

persistent actor {
  type Version = { version : Nat64; mtime_ns : Nat64; size : Nat64 };
  type Err = {
    #busy : Text;
    #stale : Version;
    #denied;
    #range;
    #corrupt : Text;
    #other : Text;
  };

  let page : Nat64 = 65536;

  let region : Region = Prim.regionNew();
  var length : Nat64 = 0;
  var version : Nat64 = 0;
  var mtime_ns : Nat64 = 0;

  func present() : Version { { version; mtime_ns; size = length } };

  // A time, made strictly increasing.
  func changed() {
    let now = Prim.time();
    version := if (now > version) now else version + 1;
    mtime_ns := now;
  };

  func inRange(offset : Nat64, size : Nat64) : Bool {
    offset <= length and size <= length - offset;
  };

  public query func stable_size() : async Nat64 { length };

  public query func stable_version() : async Version { present() };

  public query func stable_read(offset : Nat64, size : Nat64) : async Blob {
    if (not inRange(offset, size)) Prim.trap("stable_read: the range is not within the size");
    Prim.regionLoadBlob(region, offset, Prim.nat64ToNat(size));
  };

  public query func stable_read_at(at : Nat64, offset : Nat64, size : Nat64) : async { #ok : Blob; #err : Err } {
    if (at != version) return #err(#stale(present()));
    if (not inRange(offset, size)) return #err(#range);
    #ok(Prim.regionLoadBlob(region, offset, Prim.nat64ToNat(size)));
  };

  func reserve(size : Nat64) {
    let pages = size / page + (if (size % page == 0) 0 else 1);
    let have = Prim.regionSize(region);
    if (pages > have and Prim.regionGrow(region, pages - have) == 0xffff_ffff_ffff_ffff) {
      Prim.trap("stable memory cannot grow that far");
    };
    if (size > length) length := size;
  };

  // Writes bytes at an offset, and so makes the data longer where they reach beyond the end. For controllers.
  public shared ({ caller }) func stable_write(offset : Nat64, bytes : Blob) : async () {
    if (not Prim.isController(caller)) {
      throw Prim.error("denied: only a controller of this canister may change its data");
    };
    reserve(offset + Prim.natToNat64(bytes.size()));
    Prim.regionStoreBlob(region, offset, bytes);
    changed();
  };
};
