-- When an alert was heard of before a rule took it: a rulebook that comes later takes up what already fires, and the
-- review must not show that moment as its arrival.
ALTER TABLE members ADD COLUMN heard_at timestamptz;
COMMENT ON COLUMN members.heard_at IS 'When the episode was first heard of, where no rule took it then and a later rulebook did; NULL where it joined as it was heard.';
