//! Group management: the group management server (GMS) of an MC system, for own users and for visitors. TS 23.280 10.2.
