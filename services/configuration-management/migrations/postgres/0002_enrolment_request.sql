-- The request with which an enrolment code was used: a repetition of it, after an answer that was lost, is answered too.
ALTER TABLE ue_enrolment ADD COLUMN used_by TEXT;
