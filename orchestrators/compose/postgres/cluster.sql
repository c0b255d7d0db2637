-- SPDX-License-Identifier: Apache-2.0
-- Where root and a cluster share a database server, each has a database of its own. Run once, when the server makes its data folder.
CREATE DATABASE cluster;
