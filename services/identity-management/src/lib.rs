//! Identity management: the identity management server (IdMS) of an MC system, an OpenID provider. TS 33.180 5.1, annex B.
