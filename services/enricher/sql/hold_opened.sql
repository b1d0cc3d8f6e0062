-- enricher: hold_opened
-- The days that imports under these keys have opened. None of them is sealed until the transaction ends.
select one_off_key, days
from imports
where one_off_key = any(%(keys)s)
order by import_id
for share
