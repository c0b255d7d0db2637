-- SPDX-License-Identifier: Apache-2.0
-- +goose Up

-- What an account may do in an organisation that it can log in to. It can in its own, always, and may in others.
CREATE TABLE membership (
    organization_id text NOT NULL REFERENCES organization ON DELETE CASCADE,
    account_id      text NOT NULL REFERENCES account ON DELETE CASCADE,
    roles           text[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (organization_id, account_id)
);
CREATE INDEX membership_account ON membership (account_id);
INSERT INTO membership (organization_id, account_id, roles) SELECT organization_id, id, roles FROM account;
ALTER TABLE account DROP COLUMN roles;

-- A login is for one organisation, and ends with the membership.
ALTER TABLE session ADD COLUMN organization_id text;
UPDATE session SET organization_id = account.organization_id FROM account WHERE account.id = session.account_id;
ALTER TABLE session ALTER COLUMN organization_id SET NOT NULL,
    ADD FOREIGN KEY (organization_id, account_id) REFERENCES membership (organization_id, account_id) ON DELETE CASCADE;

-- +goose Down
ALTER TABLE session DROP COLUMN organization_id;
ALTER TABLE account ADD COLUMN roles text[] NOT NULL DEFAULT '{}';
UPDATE account SET roles = membership.roles FROM membership
    WHERE membership.account_id = account.id AND membership.organization_id = account.organization_id;
DROP TABLE membership;
