//! Configuration management: the configuration management server (CMS) of an MC system, for own users and for visitors. TS 23.280 10.1.
