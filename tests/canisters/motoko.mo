// The stable memory convention over a Region, as a Motoko canister offers it: reading, a restore in stages, maintenance. What
// each method takes and returns: sample.did. Everybody reads, the rest is for controllers.
import Error "mo:core/Error";
import Principal "mo:core/Principal";
import Runtime "mo:core/Runtime";
import { type Err; type Res; type Version } "Convention";
import Maintenance "Maintenance";
import Memory "Memory";
import Restore "Restore";

persistent actor {
  let memory = Memory.new();
  let restore = Restore.new();
  let maintenance = Maintenance.new();

  // --- reading ---

  public query func stable_size() : async Nat64 { memory.size };

  public query func stable_version() : async Version { Memory.present(memory) };

  public query func stable_read(offset : Nat64, length : Nat64) : async Blob { Memory.read(memory, offset, length) };

  public query func stable_read_at(version : Nat64, offset : Nat64, length : Nat64) : async { #ok : Blob; #err : Err } {
    if (version != memory.version) return #err(#stale(Memory.present(memory)));
    if (not Memory.isWithin(memory.size, offset, length)) return #err(#range);
    #ok(Memory.read(memory, offset, length));
  };

  // --- restoring ---

  public shared ({ caller }) func restore_begin(request : Restore.Begin) : async { #ok : Restore.Begun; #err : Err } {
    Restore.begin(restore, memory, caller, request);
  };

  public shared ({ caller }) func restore_chunk(chunk : Restore.Chunk) : async Res { Restore.chunk(restore, memory, caller, chunk) };

  public shared ({ caller }) func restore_commit(session : Nat64) : async Restore.Committed {
    Restore.commit(restore, memory, caller, session);
  };

  public shared ({ caller }) func restore_abort(session : Nat64) : async Res { Restore.abort(restore, memory, caller, session) };

  public shared query ({ caller }) func restore_status(session : Nat64) : async ?Restore.Status {
    if (not Principal.isController(caller)) throw Error.reject("denied: only a controller may ask for restores");
    Restore.status(restore, memory, session);
  };

  // For tests: bytes that a commit hashes in one message.
  public shared ({ caller }) func restore_step(bytes : Nat64) : async () {
    admit(caller);
    restore.step := bytes;
  };

  // --- maintenance ---

  public shared ({ caller }) func maintenance_pause(pause : Maintenance.Pause) : async {
    #ok : { lease : Nat64; version : Nat64 };
    #err : Err;
  } {
    Maintenance.pause(maintenance, caller, pause, memory.version);
  };

  public shared ({ caller }) func maintenance_renew(lease : Nat64) : async Res { Maintenance.renew(maintenance, caller, lease) };

  public shared ({ caller }) func maintenance_resume(lease : Nat64) : async Res { Maintenance.resume(maintenance, caller, lease) };

  public shared query ({ caller }) func maintenance_status() : async Maintenance.Status {
    if (not Principal.isController(caller)) throw Error.reject("denied: only a controller may ask for the maintenance");
    Maintenance.status(maintenance);
  };

  // --- the application ---

  func admit(caller : Principal) : () {
    if (not Principal.isController(caller)) Runtime.trap("denied: only a controller of this canister may change its data");
  };

  // Writes bytes at an offset, and so makes the data longer where they reach beyond the end; also in maintenance.
  public shared ({ caller }) func stable_write(offset : Nat64, bytes : Blob) : async () {
    if (not Principal.isController(caller)) {
      throw Error.reject("denied: only a controller of this canister may change its data");
    };
    Memory.write(memory, offset, bytes);
  };

  // An update that is in flight for a while: it awaits a call of itself so often, and writes one byte, a dot, after each. It
  // traps after the 200th.
  public shared ({ caller }) func work(rounds : Nat64) : async () {
    admit(caller);
    Maintenance.enter(maintenance);
    try {
      var round : Nat64 = 0;
      while (round < rounds) {
        await async {};
        if (round == 200) Runtime.trap("work: too long");
        Memory.write(memory, round, ".");
        round += 1;
      };
    } finally {
      Maintenance.leave(maintenance);
    };
  };
};
