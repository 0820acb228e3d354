// A canister with the backup and restore methods of DSCVR's in 2022: their names, their types, and a slice that traps beyond
// the end. What the items hold is of our own making; every one follows from the seed and its index (README.md, "DSCVR's
// items"), so it is made when it is asked for, and a reader can compute it. Only what was edited or restored is stored.
// Everybody may read, controllers change.
import Array "mo:core/Array";
import Char "mo:core/Char";
import Map "mo:core/Map";
import Nat "mo:core/Nat";
import Nat64 "mo:core/Nat64";
import Order "mo:core/Order";
import Principal "mo:core/Principal";
import Set "mo:core/Set";
import Text "mo:core/Text";
import Prim "mo:⛔";
import { type Err; type Res } "Convention";
import Maintenance "Maintenance";

persistent actor {
  type Kind = { #post; #link : Text; #comment : { parent : Nat64; depth : Nat8 } };
  type Content = {
    id : Nat64;
    kind : Kind;
    title : Text;
    body : Text;
    author : Principal;
    created_at : Nat64;
    views : Nat;
    score : Int;
    tags : [Text];
    url : ?Text;
    icon : ?Blob;
  };
  type Poll = { content_id : Nat64; question : Text; options : [(Text, Nat32)]; closes_at : ?Nat64 };
  type User = { id : Principal; username : Text; bio : Text; joined_at : Nat64; follows : [Nat32] };
  type Portal = { id : Nat64; slug : Text; owner : Principal; nsfw : Bool; ratio : Float };
  type ActionLimits = { posts_per_hour : Nat32; comments_per_hour : Nat32; premium : [Principal] };
  type NFT = { id : Nat64; owner : Principal; image : Blob };

  type BackupContentChunk = { chunk : [Content]; chunk_polls : [Poll]; total_length : Nat64 };
  type BackupUserChunk = { chunk : [User]; total_length : Nat64 };
  type BackupPortalChunk = { chunk : [Portal]; total_length : Nat64 };
  // Can contain partial data: here what has no chunks of its own.
  type Backup = {
    content : ?[Content];
    users : ?[User];
    portals : ?[Portal];
    limits : ?ActionLimits;
    nfts : ?[NFT];
    polls : ?[Poll];
  };

  // An item: made by its index, or as it was edited or restored.
  type Entry<T> = { #made : Nat; #given : T };

  transient let sentences = [
    "First to comment here",
    "I moved my whole blog on chain last week, and it simply works.",
    "Grüße aus Zürich, where the snow is already melting!",
    "Has anyone compared the storage costs of the two designs?",
    "Take the backup before the upgrade, not after it.",
    "😀😀",
    "A canister that cannot be restored has not been backed up; we learned it the hard way in 2021.",
    "See the second part of this thread.\n",
    "\"Quoted text\", with a backslash \\ in it.",
    "日本からこんにちは。",
    "My portal has grown to ten thousand members, so I am looking for moderators in any time zone.",
    "No.",
    "The reply limit is three megabytes and the request limit is two.",
    "It took ten minutes, give or take two.",
    "\tIndented by a tab.",
    "One more thing: thank you all for your votes, your comments and your patience with the broken search.",
  ];
  transient let topics = [
    "governance", "art", "games", "music", "defi", "news", "wallets", "storage", "memes", "jobs", "hacks", "travel",
  ];
  transient let authors = 499;
  transient let N_NFTS = 7;

  // Each in the order of its listing: contents, portals and NFTs by id, users by when they joined.
  var seed : Nat64 = 0;
  var contents : [Entry<Content>] = [];
  var users : [Entry<User>] = [];
  var portals : [Entry<Portal>] = [];
  var nfts : [Entry<NFT>] = Prim.Array_tabulate<Entry<NFT>>(N_NFTS, func(i) { #made i });
  var limits : ?ActionLimits = null; // null: as made
  // By the content's id; those of contents as made are there only when they were restored.
  let givenPolls = Map.empty<Nat64, Poll>();

  let maintenance = Maintenance.new();
  var version : Nat64 = 0;

  func word(k : Nat) : Nat64 {
    var z = seed +% Prim.natToNat64(k) +% 0x9e3779b97f4a7c15;
    z := (z ^ (z >> 30)) *% 0xbf58476d1ce4e5b9;
    z := (z ^ (z >> 27)) *% 0x94d049bb133111eb;
    z ^ (z >> 31);
  };

  func below(x : Nat64, limit : Nat64) : Nat { Prim.nat64ToNat(x % limit) };

  func byte(x : Nat64, at : Nat) : Nat8 {
    Prim.natToNat8(Prim.nat64ToNat((x >> Prim.natToNat64(8 * (at % 8))) & 0xff));
  };

  func decimal(x : Nat) : Text {
    let digit = Prim.charToText(Prim.nat32ToChar(48 + Prim.natToNat32(x % 10)));
    if (x < 10) digit else decimal(x / 10) # digit;
  };

  func bytes(from : Nat, length : Nat) : Blob {
    Prim.arrayToBlob(Prim.Array_tabulate<Nat8>(length, func(j) { byte(word(from + j / 8), j) }));
  };

  // Of the length and with the ending of self-authenticating ones.
  func principal(user : Nat) : Principal {
    let parts = Prim.Array_tabulate<Nat8>(29, func(j) { if (j == 28) 2 else byte(word(user * 4 + j / 8), j) });
    Prim.principalOfBlob(Prim.arrayToBlob(parts));
  };

  func text(choice : Nat64, length : Nat) : Text {
    var out = "";
    var j = 0;
    while (j < length) {
      let nibble = (choice >> Prim.natToNat64(4 * (j % 16))) +% Prim.natToNat64(j / 16);
      out #= sentences[below(nibble, 16)];
      j += 1;
    };
    out;
  };

  // How many sentences: mostly few, here and there a long read, and stretches where nothing else is.
  func length(i : Nat, a : Nat64) : Nat {
    if (i % 10_000 >= 2_000 and i % 10_000 < 2_400) return 180 + below(a >> 8, 60);
    if (a & 255 == 0) return 100 + below(a >> 8, 700);
    if (a & 15 == 0) return 10 + below(a >> 8, 60);
    1 + below(a >> 8, 5);
  };

  func createdAt(i : Nat) : Nat64 { 1_640_995_200_000_000_000 + Prim.natToNat64(i) * 60_000_000_000 };

  func makeContent(i : Nat) : Content {
    let a = word(4 * i);
    let b = word(4 * i + 1);
    {
      id = Prim.natToNat64(i);
      kind = switch (below(a >> 20, 3)) {
        case 0 #post;
        case 1 #link("https://example.org/" # decimal(i));
        case _ #comment { parent = Prim.natToNat64(i / 2); depth = byte(a, 3) };
      };
      title = topics[below(a >> 24, 12)] # " " # decimal(i) # "a";
      body = text(b, length(i, a));
      author = principal(below(b, Prim.natToNat64(authors)));
      created_at = createdAt(i);
      views = below(a, 1_000_000) * (if (a & 31 == 0) 1_000_000_000_000_000_000 else 1);
      score = below(b, 2_001) - 1_000 : Int;
      tags = Prim.Array_tabulate<Text>(below(a >> 32, 4), func(j) { topics[below((a >> 36) +% Prim.natToNat64(j), 12)] });
      url = if (a & 3 == 0) ?("https://example.org/?q=" # topics[below(b >> 8, 12)]) else null;
      icon = if (b & 7 == 0) ?bytes(4 * i + 2, below(b >> 16, 200)) else null;
    };
  };

  func hasPoll(i : Nat) : Bool { word(4 * i + 3) % 7 == 0 };

  func makePoll(i : Nat) : Poll {
    let c = word(4 * i + 3);
    {
      content_id = Prim.natToNat64(i);
      question = "What do you think of " # topics[below(c >> 8, 12)] # "?";
      options = Prim.Array_tabulate<(Text, Nat32)>(2 + below(c >> 16, 4), func(j) { (topics[j], Prim.natToNat32(below(c >> Prim.natToNat64(j), 1_000))) });
      closes_at = if (c & 1 == 0) null else ?createdAt(i);
    };
  };

  func pollOf(entry : Entry<Content>) : ?Poll {
    switch (Map.get(givenPolls, Nat64.compare, contentId(entry)), entry) {
      case (null, #made i) if (hasPoll(i)) ?makePoll(i) else null;
      case (given, _) given;
    };
  };

  func makeUser(i : Nat) : User {
    let a = word(4 * i);
    {
      id = principal(i);
      username = topics[below(a, 12)] # decimal(i);
      bio = if (a & 1 == 0) "" else sentences[below(a >> 8, 16)];
      joined_at = createdAt(i);
      follows = Prim.Array_tabulate<Nat32>(below(a >> 16, 20), func(j) { Prim.natToNat32((i + j * j) % 5_000) });
    };
  };

  func makePortal(i : Nat) : Portal {
    {
      id = Prim.natToNat64(i);
      slug = topics[i % 12] # "-" # decimal(i);
      owner = principal(i);
      nsfw = i % 5 == 0;
      ratio = Prim.int64ToFloat(Prim.intToInt64(i)) / 8.0;
    };
  };

  func makeNft(i : Nat) : NFT { { id = Prim.natToNat64(i); owner = principal(i); image = bytes(i * 100, 300 + i) } };

  func content(entry : Entry<Content>) : Content { switch entry { case (#made i) makeContent(i); case (#given it) it } };
  func user(entry : Entry<User>) : User { switch entry { case (#made i) makeUser(i); case (#given it) it } };
  func portal(entry : Entry<Portal>) : Portal { switch entry { case (#made i) makePortal(i); case (#given it) it } };
  func nft(entry : Entry<NFT>) : NFT { switch entry { case (#made i) makeNft(i); case (#given it) it } };

  func actionLimits() : ActionLimits {
    switch limits {
      case (?given) given;
      case null ({ posts_per_hour = 10; comments_per_hour = 60; premium = Prim.Array_tabulate<Principal>(3, principal) });
    };
  };

  // The slice [start, start + limit).
  func slice<T>(entries : [Entry<T>], start : Nat64, limit : Nat64) : [Entry<T>] {
    let first = Prim.nat64ToNat(start);
    let count = Prim.nat64ToNat(limit);
    if (first + count > entries.size()) {
      Prim.trap("range end index " # decimal(first + count) # " out of range for slice of length " # decimal(entries.size()));
    };
    Prim.Array_tabulate<Entry<T>>(count, func(i) { entries[first + i] });
  };

  func total<T>(entries : [Entry<T>]) : Nat64 { Prim.natToNat64(entries.size()) };

  public query func backup_content_chunks(start : Nat64, limit : Nat64) : async ?BackupContentChunk {
    let range = slice(contents, start, limit);
    ?{ chunk = Array.map(range, content); chunk_polls = Array.filterMap(range, pollOf); total_length = total(contents) };
  };

  public query func backup_users_chunk(start : Nat64, limit : Nat64) : async ?BackupUserChunk {
    ?{ chunk = Array.map(slice(users, start, limit), user); total_length = total(users) };
  };

  public query func backup_portals_chunk(start : Nat64, limit : Nat64) : async ?BackupPortalChunk {
    ?{ chunk = Array.map(slice(portals, start, limit), portal); total_length = total(portals) };
  };

  public query func backup_limits() : async ?ActionLimits { ?actionLimits() };

  public query func backup_nfts() : async [NFT] { Array.map(nfts, nft) };

  public query func backup() : async ?Backup {
    ?{
      content = null;
      users = null;
      portals = null;
      limits = ?actionLimits();
      nfts = ?Array.map(nfts, nft);
      polls = null;
    };
  };

  // --- restoring: replaces what has the id of what is given, inserts the rest, removes nothing ---

  func madeId(i : Nat) : Nat64 { Prim.natToNat64(i) };
  func contentId(entry : Entry<Content>) : Nat64 { switch entry { case (#made i) madeId(i); case (#given { id }) id } };
  func portalId(entry : Entry<Portal>) : Nat64 { switch entry { case (#made i) madeId(i); case (#given { id }) id } };
  func nftId(entry : Entry<NFT>) : Nat64 { switch entry { case (#made i) madeId(i); case (#given { id }) id } };
  func userId(entry : Entry<User>) : Principal { switch entry { case (#made i) principal(i); case (#given { id }) id } };
  func joinedAt(entry : Entry<User>) : Nat64 { switch entry { case (#made i) createdAt(i); case (#given { joined_at }) joined_at } };

  func byId<T>(id : Entry<T> -> Nat64) : (Entry<T>, Entry<T>) -> Order.Order {
    func(a, b) { Nat64.compare(id(a), id(b)) };
  };

  // Where several joined at once, by their ids.
  func byJoining(a : Entry<User>, b : Entry<User>) : Order.Order {
    switch (Nat64.compare(joinedAt(a), joinedAt(b))) {
      case (#equal) Principal.compare(userId(a), userId(b));
      case other other;
    };
  };

  // Entries that are in order, with items that need not be. Of those that are equal the one given last stays; `gone` is
  // told of the others.
  func merge<T>(entries : [Entry<T>], items : [T], compare : (Entry<T>, Entry<T>) -> Order.Order, gone : Entry<T> -> ()) : [Entry<T>] {
    if (items.size() == 0) return entries;
    let given = Array.sort(Array.map<T, Entry<T>>(items, func(item) { #given item }), compare);
    let merged = Prim.Array_init<Entry<T>>(entries.size() + given.size(), given[0]);
    var n = 0;
    func append(entry : Entry<T>) {
      if (n > 0 and compare(merged[n - 1], entry) == #equal) {
        gone(merged[n - 1]);
        n -= 1;
      };
      merged[n] := entry;
      n += 1;
    };
    var next = 0;
    for (entry in entries.values()) {
      while (next < given.size() and compare(given[next], entry) == #less) {
        append(given[next]);
        next += 1;
      };
      append(entry);
    };
    while (next < given.size()) {
      append(given[next]);
      next += 1;
    };
    Prim.Array_tabulate<Entry<T>>(n, func(i) { merged[i] });
  };

  // A poll as made belongs to a content as made: it outlives that.
  func keepPoll(entry : Entry<Content>) {
    switch (entry, pollOf(entry)) {
      case (#made _, ?it) Map.add(givenPolls, Nat64.compare, it.content_id, it);
      case _ {};
    };
  };

  func putContents(given : [Content]) { contents := merge(contents, given, byId(contentId), keepPoll) };
  func putPolls(given : [Poll]) { for (poll in given.values()) Map.add(givenPolls, Nat64.compare, poll.content_id, poll) };
  func putPortals(given : [Portal]) { portals := merge(portals, given, byId(portalId), func _ {}) };
  func putNfts(given : [NFT]) { nfts := merge(nfts, given, byId(nftId), func _ {}) };

  // Who is given with another time of joining than before moves.
  func putUsers(given : [User]) {
    let ids = Set.empty<Principal>();
    for ({ id } in given.values()) Set.add(ids, Principal.compare, id);
    let others = Array.filter(users, func(entry : Entry<User>) : Bool { not Set.contains(ids, Principal.compare, userId(entry)) });
    users := merge(others, given, byJoining, func _ {});
  };

  func put<T>(given : ?[T], store : [T] -> ()) { switch given { case (?items) store(items); case null {} } };

  func beginRestore(caller : Principal) {
    admit(caller);
    version += 1;
  };

  // Whatever of it is there.
  public shared ({ caller }) func restore(given : Backup) : async () {
    beginRestore(caller);
    put(given.content, putContents);
    put(given.polls, putPolls);
    put(given.users, putUsers);
    put(given.portals, putPortals);
    put(given.nfts, putNfts);
    switch (given.limits) { case null {}; case given limits := given };
  };

  // What else is in it would be lost without a word: hence refused.
  public shared ({ caller }) func restore_content(given : Backup) : async () {
    beginRestore(caller);
    switch given {
      case { users = null; portals = null; limits = null; nfts = null; content = ?content; polls } {
        putContents(content);
        put(polls, putPolls);
      };
      case _ Prim.trap("restore_content: takes content, with polls or without, and nothing else");
    };
  };

  public shared ({ caller }) func restore_users(given : Backup) : async () {
    beginRestore(caller);
    switch given {
      case { content = null; polls = null; portals = null; limits = null; nfts = null; users = ?users } putUsers(users);
      case _ Prim.trap("restore_users: takes users and nothing else");
    };
  };

  public shared ({ caller }) func restore_nfts(given : [NFT]) : async () {
    beginRestore(caller);
    putNfts(given);
  };

  public shared ({ caller }) func restore_portals(given : BackupPortalChunk) : async () {
    beginRestore(caller);
    putPortals(given.chunk);
  };

  public shared ({ caller }) func restore_limits(given : ActionLimits) : async () {
    beginRestore(caller);
    limits := ?given;
  };

  // --- the application: refused in maintenance ---

  func admit(caller : Principal) {
    if (not Prim.isController(caller)) Prim.trap("denied: only a controller of this canister may change its data");
  };

  func beginUpdate(caller : Principal) {
    admit(caller);
    Maintenance.check(maintenance);
    version += 1;
  };

  // The number after the last id.
  func nextId<T>(entries : [Entry<T>], id : Entry<T> -> Nat64) : Nat {
    if (entries.size() == 0) 0 else Prim.nat64ToNat(id(entries[entries.size() - 1])) + 1;
  };

  // More at the end, as made, from this number on.
  func lengthen<T>(entries : [Entry<T>], count : Nat, first : Nat) : [Entry<T>] {
    let have = entries.size();
    if (count <= have) return entries;
    Prim.Array_tabulate<Entry<T>>(count, func(i) { if (i < have) entries[i] else #made(first + i - have) });
  };

  func shorten<T>(entries : [Entry<T>], count : Nat) : [Entry<T>] {
    if (count >= entries.size()) entries else Prim.Array_tabulate<Entry<T>>(count, func(i) { entries[i] });
  };

  func nUsers() : Nat { contents.size() / 20 };
  func nPortals() : Nat { contents.size() / 200 };

  func addItems(count : Nat) {
    contents := lengthen(contents, contents.size() + count, nextId(contents, contentId));
    users := lengthen(users, nUsers(), users.size());
    portals := lengthen(portals, nPortals(), nextId(portals, portalId));
  };

  // Replaces everything: n contents, and users and portals to go with them.
  public shared ({ caller }) func fill(count : Nat64, newSeed : Nat64) : async () {
    beginUpdate(caller);
    seed := newSeed;
    contents := [];
    users := [];
    portals := [];
    nfts := lengthen<NFT>([], N_NFTS, 0);
    limits := null;
    Map.clear(givenPolls);
    addItems(Prim.nat64ToNat(count));
  };

  public shared ({ caller }) func add(count : Nat64) : async () {
    beginUpdate(caller);
    addItems(Prim.nat64ToNat(count));
  };

  public shared ({ caller }) func remove(count : Nat64) : async () {
    beginUpdate(caller);
    let left = contents.size() - Prim.nat64ToNat(count) : Nat;
    for (i in Nat.range(left, contents.size())) Map.remove(givenPolls, Nat64.compare, contentId(contents[i]));
    contents := shorten(contents, left);
    users := shorten(users, nUsers());
    portals := shorten(portals, nPortals());
  };

  // The title with its last letter, which is its edition, moved on.
  func edited(title : Text) : Text {
    var left = title.size();
    Text.map(
      title,
      func(c) {
        left -= 1;
        // 97 is a, and 97 + 8 a multiple of 26 and one more.
        if (left > 0) c else Char.fromNat32(97 + (Char.toNat32(c) + 8) % 26);
      },
    );
  };

  // Edits the i-th content: another title, of the same length.
  public shared ({ caller }) func touch(i : Nat64) : async () {
    beginUpdate(caller);
    let at = Prim.nat64ToNat(i);
    let it = content(contents[at]);
    keepPoll(contents[at]);
    contents := Array.tabulate<Entry<Content>>(contents.size(), func(j) { if (j == at) #given { it with title = edited(it.title) } else contents[j] });
  };

  // --- maintenance ---

  public shared ({ caller }) func maintenance_pause(pause : Maintenance.Pause) : async {
    #ok : { lease : Nat64; version : Nat64 };
    #err : Err;
  } {
    Maintenance.pause(maintenance, caller, pause, version);
  };

  public shared ({ caller }) func maintenance_renew(lease : Nat64) : async Res { Maintenance.renew(maintenance, caller, lease) };

  public shared ({ caller }) func maintenance_resume(lease : Nat64) : async Res { Maintenance.resume(maintenance, caller, lease) };

  public shared query ({ caller }) func maintenance_status() : async Maintenance.Status {
    if (not Prim.isController(caller)) throw Prim.error("denied: only a controller may ask for the maintenance");
    Maintenance.status(maintenance);
  };
};
