// Maintenance as a lease: while somebody holds it, the application's own updates are refused, so that what is backed up or
// restored does not change meanwhile. Who dies holding it cannot block the canister: it ends by itself. README.md,
// "A Motoko canister of your own", says how an actor uses this module.
//
// The state is a stable type: kept in a `let` of a persistent actor, a lease survives an upgrade.
import Iter "mo:core/Iter";
import Nat64 "mo:core/Nat64";
import Principal "mo:core/Principal";
import Runtime "mo:core/Runtime";
import Text "mo:core/Text";
import Time "mo:core/Time";
import { type Err; type Res } "Convention";

module {
  public type State = {
    var lease : Nat64; // the last one given: numbers never come again
    var expires_ns : Nat64; // 0: it was given back
    var ttl_ns : Nat64;
    var reason : Text;
    var in_flight : Nat64;
  };
  public type Pause = { ttl_s : Nat32; reason : Text };
  public type Status = { paused : Bool; lease_expires_ns : Nat64; in_flight : Nat64 };

  public let TTL_S_MAX : Nat32 = 3600;
  let REASON_MAX = 200; // characters that are kept

  public func new() : State { { var lease = 0; var expires_ns = 0; var ttl_ns = 0; var reason = ""; var in_flight = 0 } };

  func now() : Nat64 { Nat64.fromIntWrap(Time.now()) };

  public func isPaused(state : State) : Bool { now() < state.expires_ns };

  // --- for the application ---

  // First of all in every update method that changes the state and does not await: traps in maintenance.
  public func check(state : State) {
    if (isPaused(state)) Runtime.trap("in maintenance: " # state.reason);
  };

  // The same in one that awaits: from here to leave() it is in flight. A pause does not stop it, it is waited for; so
  // leave() belongs into a `finally`, which runs after a trap, too.
  public func enter(state : State) {
    check(state);
    state.in_flight += 1;
  };

  public func leave(state : State) { state.in_flight -= 1 };

  // --- the methods of the convention ---

  // The version is the one that the caller will find.
  public func pause(state : State, caller : Principal, { ttl_s; reason } : Pause, version : Nat64) : {
    #ok : { lease : Nat64; version : Nat64 };
    #err : Err;
  } {
    if (not Principal.isController(caller)) return #err(#denied);
    if (ttl_s == 0 or ttl_s > TTL_S_MAX) return #err(#range);
    if (isPaused(state)) return #err(#busy("lease " # Nat64.toText(state.lease) # ": " # state.reason));
    // A time, too: so it does not come again even after a snapshot has brought an old state back.
    state.lease := Nat64.max(now(), state.lease + 1);
    state.ttl_ns := Nat64.fromNat32(ttl_s) * 1_000_000_000;
    state.reason := Text.fromIter(Iter.take(reason.chars(), REASON_MAX));
    state.expires_ns := now() + state.ttl_ns;
    #ok({ lease = state.lease; version });
  };

  // From now on for as long as it was asked for at first.
  public func renew(state : State, caller : Principal, lease : Nat64) : Res {
    if (not Principal.isController(caller)) return #err(#denied);
    if (lease != state.lease or not isPaused(state)) return #err(#other("no such lease"));
    state.expires_ns := now() + state.ttl_ns;
    #ok;
  };

  // Repeatable, for as long as no other lease was given.
  public func resume(state : State, caller : Principal, lease : Nat64) : Res {
    if (not Principal.isController(caller)) return #err(#denied);
    if (lease == 0 or lease != state.lease) return #err(#other("no such lease"));
    state.expires_ns := 0;
    #ok;
  };

  public func status(state : State) : Status {
    let paused = isPaused(state);
    { paused; lease_expires_ns = if paused state.expires_ns else 0; in_flight = state.in_flight };
  };
};
