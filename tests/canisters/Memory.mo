// The data of a canister in a Region, with their version: what the stable memory methods of the convention read.
//
// The state is a stable type, for a `let` of a persistent actor. A restore (Restore.mo) puts another region in the place of
// the present one, so always ask this module for the data.
import Blob "mo:core/Blob";
import Nat64 "mo:core/Nat64";
import Nat8 "mo:core/Nat8";
import Region "mo:core/Region";
import Runtime "mo:core/Runtime";
import Time "mo:core/Time";
import VarArray "mo:core/VarArray";
import { type Version } "Convention";

module {
  // Bytes from `dirty` on were never written: they are zeros, as far as the region reaches.
  public type Space = { region : Region; var dirty : Nat64 };
  public type State = { var space : Space; var size : Nat64; var version : Nat64; var mtime_ns : Nat64 };

  public let PAGE : Nat64 = 65_536;
  let ZEROS_MAX : Nat64 = 1_073_741_824; // in one message, which may write 2 GiB
  let PIECE : Nat64 = 1_048_576;

  public func newSpace() : Space { { region = Region.new(); var dirty = 0 } };
  public func new() : State { { var space = newSpace(); var size = 0; var version = 0; var mtime_ns = 0 } };

  public func present(memory : State) : Version {
    { version = memory.version; mtime_ns = memory.mtime_ns; size = memory.size };
  };

  public func isWithin(size : Nat64, offset : Nat64, length : Nat64) : Bool { offset <= size and length <= size - offset };

  // Traps beyond the size.
  public func read(memory : State, offset : Nat64, length : Nat64) : Blob {
    if (not isWithin(memory.size, offset, length)) Runtime.trap("the range is not within the size");
    if (length == 0) return ""; // at the very end of a region it would trap
    Region.loadBlob(memory.space.region, offset, Nat64.toNat(length));
  };

  // Makes the data longer where it reaches beyond the end; what is between is zeros then.
  public func write(memory : State, offset : Nat64, bytes : Blob) {
    let end = offset + Nat64.fromNat(bytes.size());
    if (end > memory.size) {
      if (not reserve(memory.space, end)) Runtime.trap("stable memory cannot grow that far");
      if (offset > memory.size) {
        if (Nat64.min(offset, memory.space.dirty) > memory.size + ZEROS_MAX) Runtime.trap("too far behind the end: write in between first");
        zero(memory.space, memory.size, offset);
      };
      memory.size := end;
    };
    store(memory.space, offset, bytes);
    changed(memory);
  };

  // After every change: the version is a time, made strictly increasing.
  public func changed(memory : State) {
    memory.mtime_ns := Nat64.fromIntWrap(Time.now());
    memory.version := Nat64.max(memory.mtime_ns, memory.version + 1);
  };

  // --- spaces ---

  // false: it cannot grow that far.
  public func reserve(space : Space, size : Nat64) : Bool {
    let pages = size / PAGE + (if (size % PAGE == 0) 0 else 1);
    let have = Region.size(space.region);
    pages <= have or Region.grow(space.region, pages - have) != 0xffff_ffff_ffff_ffff;
  };

  // Within what was reserved.
  public func store(space : Space, offset : Nat64, bytes : Blob) {
    Region.storeBlob(space.region, offset, bytes);
    space.dirty := Nat64.max(space.dirty, offset + Nat64.fromNat(bytes.size()));
  };

  // Makes [start, end) zeros, within what was reserved.
  public func zero(space : Space, start : Nat64, end : Nat64) {
    let stop = Nat64.min(end, space.dirty);
    var at = start;
    while (at < stop) {
      let length = Nat64.min(stop - at, PIECE);
      Region.storeBlob(space.region, at, Blob.fromVarArray(VarArray.repeat<Nat8>(0, Nat64.toNat(length))));
      at += length;
    };
  };
};
