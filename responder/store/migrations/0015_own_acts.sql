-- What the responder did lately, wherever: an alert that begins right after it may be its own doing.

CREATE INDEX attempts_by_time ON attempts (intended_at);
