-- Which approval an attempt used up: a person's yes is good for one attempt, whatever else goes wrong.
ALTER TABLE attempts ADD COLUMN approval uuid UNIQUE REFERENCES commands;
COMMENT ON COLUMN attempts.approval IS 'The command that approved it; no two attempts have the same.';
