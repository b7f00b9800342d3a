-- What primaries were told of how this system is reached: whether one was told otherwise is seen at the ends of this index.
CREATE INDEX user_migration_told ON user_migration (COALESCE(ue_configuration_digest, ''))
    WHERE role = 'PARTNER' AND state = 'IN_FORCE';
