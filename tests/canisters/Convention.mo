// The types that the methods of the convention share: sample.did says what they mean.
module {
  public type Version = { version : Nat64; mtime_ns : Nat64; size : Nat64 };
  public type Err = {
    #busy : Text;
    #stale : Version;
    #denied;
    #range;
    #corrupt : Text;
    #other : Text;
  };
  public type Res = { #ok; #err : Err };
};
