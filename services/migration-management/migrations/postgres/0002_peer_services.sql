-- Where other entities of a partner are reached: JSON, a list of {entity, endpoints, presents}; empty: as its migration management server.
ALTER TABLE agreement ADD COLUMN peer_services TEXT NOT NULL DEFAULT '[]';
