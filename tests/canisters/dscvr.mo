// A canister with the backup methods of DSCVR's in 2022: their names, their types, and a slice that traps beyond the end.
// What the items hold is of our own making; every one follows from the seed and its index (README.md, "DSCVR's items"), so
// it is made when it is asked for, and a reader can compute it. Everybody may read, controllers change.
import Prim "mo:⛔";

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
  };

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

  var n : Nat = 0;
  var seed : Nat64 = 0;
  // How often each content was edited.
  var edits : [var Nat8] = [var];

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

  func content(i : Nat) : Content {
    let a = word(4 * i);
    let b = word(4 * i + 1);
    let edition = Prim.charToText(Prim.nat32ToChar(97 + Prim.natToNat32(Prim.nat8ToNat(edits[i]) % 26)));
    {
      id = Prim.natToNat64(i);
      kind = switch (below(a >> 20, 3)) {
        case 0 #post;
        case 1 #link("https://example.org/" # decimal(i));
        case _ #comment { parent = Prim.natToNat64(i / 2); depth = byte(a, 3) };
      };
      title = topics[below(a >> 24, 12)] # " " # decimal(i) # edition;
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

  func poll(i : Nat) : Poll {
    let c = word(4 * i + 3);
    {
      content_id = Prim.natToNat64(i);
      question = "What do you think of " # topics[below(c >> 8, 12)] # "?";
      options = Prim.Array_tabulate<(Text, Nat32)>(2 + below(c >> 16, 4), func(j) { (topics[j], Prim.natToNat32(below(c >> Prim.natToNat64(j), 1_000))) });
      closes_at = if (c & 1 == 0) null else ?createdAt(i);
    };
  };

  func polls(first : Nat, end : Nat) : [Poll] {
    var count = 0;
    var i = first;
    while (i < end) { if (hasPoll(i)) count += 1; i += 1 };
    i := first;
    Prim.Array_tabulate<Poll>(
      count,
      func _ {
        while (not hasPoll(i)) i += 1;
        i += 1;
        poll(i - 1);
      },
    );
  };

  func nUsers() : Nat { n / 20 };
  func user(i : Nat) : User {
    let a = word(4 * i);
    {
      id = principal(i);
      username = topics[below(a, 12)] # decimal(i);
      bio = if (a & 1 == 0) "" else sentences[below(a >> 8, 16)];
      joined_at = createdAt(i);
      follows = Prim.Array_tabulate<Nat32>(below(a >> 16, 20), func(j) { Prim.natToNat32((i + j * j) % 5_000) });
    };
  };

  func nPortals() : Nat { n / 200 };
  func portal(i : Nat) : Portal {
    {
      id = Prim.natToNat64(i);
      slug = topics[i % 12] # "-" # decimal(i);
      owner = principal(i);
      nsfw = i % 5 == 0;
      ratio = Prim.int64ToFloat(Prim.intToInt64(i)) / 8.0;
    };
  };

  func actionLimits() : ActionLimits {
    { posts_per_hour = 10; comments_per_hour = 60; premium = Prim.Array_tabulate<Principal>(3, principal) };
  };
  func nfts() : [NFT] {
    Prim.Array_tabulate<NFT>(7, func(i) { { id = Prim.natToNat64(i); owner = principal(i); image = bytes(i * 100, 300 + i) } });
  };

  // The slice [start, start + limit) of `total` items.
  func slice<T>(start : Nat64, limit : Nat64, total : Nat, item : Nat -> T) : [T] {
    let first = Prim.nat64ToNat(start);
    let count = Prim.nat64ToNat(limit);
    if (first + count > total) {
      Prim.trap("range end index " # decimal(first + count) # " out of range for slice of length " # decimal(total));
    };
    Prim.Array_tabulate<T>(count, func(i) { item(first + i) });
  };

  public query func backup_content_chunks(start : Nat64, limit : Nat64) : async ?BackupContentChunk {
    let chunk = slice(start, limit, n, content);
    let first = Prim.nat64ToNat(start);
    ?{ chunk; chunk_polls = polls(first, first + chunk.size()); total_length = Prim.natToNat64(n) };
  };

  public query func backup_users_chunk(start : Nat64, limit : Nat64) : async ?BackupUserChunk {
    ?{ chunk = slice(start, limit, nUsers(), user); total_length = Prim.natToNat64(nUsers()) };
  };

  public query func backup_portals_chunk(start : Nat64, limit : Nat64) : async ?BackupPortalChunk {
    ?{ chunk = slice(start, limit, nPortals(), portal); total_length = Prim.natToNat64(nPortals()) };
  };

  public query func backup_limits() : async ?ActionLimits { ?actionLimits() };

  public query func backup_nfts() : async [NFT] { nfts() };

  public query func backup() : async ?Backup {
    ?{ content = null; users = null; portals = null; limits = ?actionLimits(); nfts = ?nfts() };
  };

  func admit(caller : Principal) {
    if (not Prim.isController(caller)) Prim.trap("denied: only a controller of this canister may change its data");
  };

  // Keeps the edits of the contents that stay.
  func resize(count : Nat) {
    let kept = edits;
    edits := Prim.Array_init<Nat8>(count, 0);
    var i = 0;
    while (i < count and i < kept.size()) { edits[i] := kept[i]; i += 1 };
    n := count;
  };

  // Replaces everything: n contents, and users and portals to go with them.
  public shared ({ caller }) func fill(count : Nat64, newSeed : Nat64) : async () {
    admit(caller);
    resize(0);
    resize(Prim.nat64ToNat(count));
    seed := newSeed;
  };

  public shared ({ caller }) func add(count : Nat64) : async () {
    admit(caller);
    resize(n + Prim.nat64ToNat(count));
  };

  public shared ({ caller }) func remove(count : Nat64) : async () {
    admit(caller);
    resize(n - Prim.nat64ToNat(count));
  };

  // Edits a content: another title, of the same length.
  public shared ({ caller }) func touch(i : Nat64) : async () {
    admit(caller);
    let at = Prim.nat64ToNat(i);
    edits[at] := edits[at] +% 1;
  };
};
