-- Role and database of Footfall, on a server of Debian's. Its password comes by standard input.
\set ON_ERROR_STOP on
\set password `cat`

-- As in the official image: migrate makes the other roles, hands over what it owns, and ends. Services never are this role.
create role footfall superuser login password :'password';
create database footfall owner footfall encoding 'UTF8' locale 'C.UTF-8' template template0;

-- An error must not take a statement or a row into the server's log with it.
alter database footfall set log_min_error_statement = 'panic';
alter database footfall set log_error_verbosity = 'terse';
alter database footfall set timezone = 'UTC';
alter database footfall set jit = off;
alter database footfall set random_page_cost = 1.1;
-- Random ids do not compress: with it the first hits after each checkpoint cost six times the CPU.
alter database footfall set wal_compression = 'off';
