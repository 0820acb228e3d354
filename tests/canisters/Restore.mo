// A restore in stages, for data in a Region (Memory.mo): what is sent goes to a second region, and the last step of the
// commit swaps the two, in one message. So readers never see half a restore, and until the swap nothing has changed. Regions
// cannot be freed: the old one is kept for the next restore. README.md, "A Motoko canister of your own", says how an actor
// uses this module, sample.did what the methods take and answer.
//
// There is one session at a time. A commit checks in steps, each well within what a message may do: first what was not
// sent is copied from the live data, whose version must be the session's base all the while; then the stage is hashed. A
// chunk that comes meanwhile takes back the hashes behind its beginning. The state is a stable type, so all of this survives
// an upgrade at any time.
import Array "mo:core/Array";
import Nat "mo:core/Nat";
import Nat64 "mo:core/Nat64";
import Principal "mo:core/Principal";
import Region "mo:core/Region";
import Time "mo:core/Time";
import { type Err; type Res } "Convention";
import Memory "Memory";
import Sha256 "Sha256";

module {
  // [start, end), apart from one another, in order.
  type Range = (Nat64, Nat64);

  type Session = {
    number : Nat64;
    size : Nat64;
    sha256 : Blob;
    base_version : ?Nat64;
    var expires_ns : Nat64;
    var received : [Range];
    var copied : Nat64; // what was not received is in the stage up to here
    var hashed : Nat64; // pieces whose hashes are in the region of hashes
  };
  type Outcome = { number : Nat64; size : Nat64; state : { #committed; #aborted } };

  public type State = {
    var stage : Memory.Space;
    hashes : Memory.Space; // of the pieces, behind room for Sha256
    var session : ?Session; // the open one
    var last : Nat64; // session number
    var outcomes : [Outcome]; // of the last ones that ended, the latest first
    var step : Nat64; // bytes to hash in a message, or four times as many to copy; then a commit answers `more`
  };

  public type Begin = { target : Text; size : Nat64; sha256 : Blob; base_version : ?Nat64 };
  public type Begun = { session : Nat64; chunk_max : Nat64; expires_ns : Nat64 };
  public type Chunk = { session : Nat64; offset : Nat64; bytes : Blob };
  public type Status = {
    received : [(Nat64, Nat64)]; // offset, length
    size : Nat64;
    state : { #open; #committed; #aborted };
  };
  public type Committed = { #ok; #more : { done : Nat64; total : Nat64 }; #err : Err };

  public let CHUNK_MAX : Nat64 = 2_031_616; // 31 pages: with its envelope it fits a call of 2 MiB
  let EXPIRES_NS : Nat64 = 3_600_000_000_000;
  let PIECE : Nat64 = 1_048_576; // of which the hash is made
  let HASH : Nat64 = 32;
  let RANGES_MAX = 10_000; // their list fits a reply many times
  let OUTCOMES_MAX = 64;
  let STEP : Nat64 = 16_777_216; // a tenth of the instructions that a message may take: an answer within seconds

  public func new() : State {
    {
      var stage = Memory.newSpace();
      hashes = Memory.newSpace();
      var session = null;
      var last = 0;
      var outcomes = [];
      var step = STEP;
    };
  };

  // --- sessions ---

  func now() : Nat64 { Nat64.fromIntWrap(Time.now()) };

  func touch(session : Session) { session.expires_ns := now() + EXPIRES_NS };

  func end(state : State, session : Session, outcome : { #committed; #aborted }) {
    let ended = { number = session.number; size = session.size; state = outcome };
    let kept = Nat.min(state.outcomes.size(), OUTCOMES_MAX - 1 : Nat);
    state.outcomes := Array.tabulate<Outcome>(kept + 1, func(i) { if (i == 0) ended else state.outcomes[i - 1] });
    state.session := null;
  };

  // The open session. It is over when the live data have become longer than it: they cannot be cut.
  func open(state : State, memory : Memory.State) : ?Session {
    let ?session = state.session else return null;
    if (memory.size <= session.size) return ?session;
    end(state, session, #aborted);
    null;
  };

  func outcome(state : State, number : Nat64) : ?Outcome { Array.find(state.outcomes, func(it : Outcome) : Bool { it.number == number }) };

  // Of a session that is not the open one.
  func over(state : State, number : Nat64) : Err {
    switch (outcome(state, number)) {
      case (?{ state = #committed }) #other("the session is committed");
      case (?{ state = #aborted }) #other("the session is aborted");
      case null #other("no such session");
    };
  };

  func find(state : State, memory : Memory.State, number : Nat64) : ?Session {
    switch (open(state, memory)) {
      case (?session) if (session.number == number) ?session else null;
      case null null;
    };
  };

  // --- the methods ---

  public func begin(state : State, memory : Memory.State, caller : Principal, request : Begin) : { #ok : Begun; #err : Err } {
    if (not Principal.isController(caller)) return #err(#denied);
    let { target; size; sha256; base_version } = request;
    if (target != "stable_memory") return #err(#other("the only target here is stable_memory"));
    if (sha256.size() != 32) return #err(#other("sha256 has 32 bytes"));
    switch (open(state, memory)) {
      case (?session) {
        if (session.size == size and session.sha256 == sha256 and session.base_version == base_version) return #ok(begun(session));
        if (now() < session.expires_ns) return #err(#busy("session " # Nat64.toText(session.number) # " is open"));
      };
      case null {};
    };
    if (size < memory.size) return #err(#range);
    if (not isBase(base_version, memory)) return #err(#stale(Memory.present(memory)));
    let hashes = Sha256.SCRATCH + (size / PIECE + 1) * HASH;
    if (not Memory.reserve(state.stage, size) or not Memory.reserve(state.hashes, hashes)) return #err(#other("out of memory: no room for the stage"));
    switch (state.session) { case (?session) end(state, session, #aborted); case null {} };
    // A time, too: so it does not come again even after a snapshot has brought an old state back.
    state.last := Nat64.max(now(), state.last + 1);
    let session : Session = {
      request with
      number = state.last;
      var expires_ns = 0 : Nat64;
      var received = [] : [Range];
      var copied = 0 : Nat64;
      var hashed = 0 : Nat64;
    };
    state.session := ?session;
    #ok(begun(session));
  };

  func begun(session : Session) : Begun {
    touch(session);
    { session = session.number; chunk_max = CHUNK_MAX; expires_ns = session.expires_ns };
  };

  func isBase(base : ?Nat64, memory : Memory.State) : Bool { switch base { case (?version) version == memory.version; case null true } };

  public func chunk(state : State, memory : Memory.State, caller : Principal, { session = number; offset; bytes } : Chunk) : Res {
    if (not Principal.isController(caller)) return #err(#denied);
    let ?session = find(state, memory, number) else return #err(over(state, number));
    let length = Nat64.fromNat(bytes.size());
    if (length > CHUNK_MAX or not Memory.isWithin(session.size, offset, length)) return #err(#range);
    touch(session);
    if (length == 0) return #ok;
    let received = joined(session.received, (offset, offset + length));
    if (received.size() > RANGES_MAX) return #err(#other("too many separate ranges: send what lies between some of them"));
    session.received := received;
    session.hashed := Nat64.min(session.hashed, offset / PIECE);
    Memory.store(state.stage, offset, bytes);
    #ok;
  };

  // The ranges and one more: those that it meets become one.
  func joined(ranges : [Range], (start, end) : Range) : [Range] {
    let before = Array.filter(ranges, func(range : Range) : Bool { range.1 < start });
    let after = Array.filter(ranges, func(range : Range) : Bool { range.0 > end });
    let met = ranges.size() - before.size() - after.size() : Nat;
    let one = if (met == 0) (start, end) else (
      Nat64.min(start, ranges[before.size()].0),
      Nat64.max(end, ranges[before.size() + met - 1].1),
    );
    Array.flatten([before, [one], after]);
  };

  public func status(state : State, memory : Memory.State, number : Nat64) : ?Status {
    switch (find(state, memory, number)) {
      case (?session) {
        let received = Array.map<Range, (Nat64, Nat64)>(session.received, func((start, end)) { (start, end - start) });
        return ?{ received; size = session.size; state = #open };
      };
      case null {};
    };
    let ?{ size; state = ended } = outcome(state, number) else return null;
    ?{ received = []; size; state = ended };
  };

  public func abort(state : State, memory : Memory.State, caller : Principal, number : Nat64) : Res {
    if (not Principal.isController(caller)) return #err(#denied);
    switch (find(state, memory, number), outcome(state, number)) {
      case (?session, _) end(state, session, #aborted);
      case (null, ?{ state = #aborted }) {};
      case _ return #err(over(state, number));
    };
    #ok;
  };

  public func commit(state : State, memory : Memory.State, caller : Principal, number : Nat64) : Committed {
    if (not Principal.isController(caller)) return #err(#denied);
    let ?session = find(state, memory, number) else return switch (outcome(state, number)) {
      case (?{ state = #committed }) #ok;
      case _ #err(over(state, number));
    };
    if (not isBase(session.base_version, memory)) return #err(#stale(Memory.present(memory)));
    if (session.base_version == null) {
      let missing = session.size - total(session.received);
      if (missing > 0) return #err(#corrupt(missingWords(session, missing)));
    };
    touch(session);
    let step = { var left = 4 * state.step };
    if (not copyRest(state, memory, session, step) or not hash(state, session, step)) return #more(progress(session));
    if (digest(state, session) != session.sha256) {
      session.hashed := 0;
      return #err(#corrupt("the sha256 of the content is another"));
    };
    // When nothing was sent, all was there already: the version stays.
    if (session.received.size() > 0 or memory.size != session.size) {
      let old = memory.space;
      memory.space := state.stage;
      memory.size := session.size;
      Memory.changed(memory);
      state.stage := old;
    };
    end(state, session, #committed);
    #ok;
  };

  func total(ranges : [Range]) : Nat64 { Array.foldLeft<Range, Nat64>(ranges, 0, func(sum, (start, end)) { sum + (end - start) }) };

  func missingWords(session : Session, missing : Nat64) : Text {
    let (start, end) = gap(session, 0);
    "missing: " # Nat64.toText(end - start) # " bytes at " # Nat64.toText(start) # "; in all " # Nat64.toText(missing) # " bytes";
  };

  // The first stretch from `at` on that was not received; empty at the end.
  func gap(session : Session, at : Nat64) : Range {
    var start = at;
    for ((from, to) in session.received.values()) {
      if (start < from) return (start, from);
      if (start < to) start := to;
    };
    (start, session.size);
  };

  func progress(session : Session) : { done : Nat64; total : Nat64 } {
    { done = session.copied + Nat64.min(session.hashed * PIECE, session.size); total = 2 * session.size };
  };

  // --- steps ---

  type Step = { var left : Nat64 }; // bytes to copy; hashing takes four times as much of it

  // Puts the live data's bytes, and zeros behind them, where nothing was received. false: there is more to do.
  func copyRest(state : State, memory : Memory.State, session : Session, step : Step) : Bool {
    while (session.copied < session.size) {
      if (step.left == 0) return false;
      let (start, end) = gap(session, session.copied);
      if (start >= memory.size and start >= state.stage.dirty) {
        session.copied := end; // zeros already
      } else {
        let stop = Nat64.min(end, start + PIECE);
        if (start < memory.size) {
          Memory.store(state.stage, start, Memory.read(memory, start, Nat64.min(stop, memory.size) - start));
        };
        Memory.zero(state.stage, Nat64.max(start, memory.size), stop);
        session.copied := stop;
        step.left -= Nat64.min(step.left, stop - start);
      };
    };
    true;
  };

  // Hashes the pieces one after the other. false: there is more to do.
  func hash(state : State, session : Session, step : Step) : Bool {
    while (session.hashed * PIECE < session.size) {
      if (step.left == 0) return false;
      let start = session.hashed * PIECE;
      let length = Nat64.min(PIECE, session.size - start);
      let room = state.hashes.region;
      Memory.store(state.hashes, Sha256.SCRATCH + session.hashed * HASH, Sha256.ofRegion(state.stage.region, start, length, room));
      session.hashed += 1;
      step.left -= Nat64.min(step.left, 4 * length);
    };
    true;
  };

  // The hash of the pieces' hashes.
  func digest(state : State, session : Session) : Blob {
    let room = state.hashes.region;
    Sha256.ofRegion(room, Sha256.SCRATCH, session.hashed * HASH, room);
  };
};
