create table if not exists orders(id int primary key, name text);
truncate orders;
insert into orders values (1,'secret-alice'),(2,'secret-bob');
select * from orders where name = 'secret-alice';
select 1; 
select 1 \; select name from orders \; update orders set name='secret-x' where id=2;
select * from missing_table;
insert into orders values (1,'dup-secret');
begin;
update orders set name = E'it\'s secret' where id = 1;
rollback;
do $$ begin raise notice 'secret notice'; end $$;
listen ch;
notify ch, 'secret-payload';
copy orders from stdin with (format csv);
10,secret-copy
11,secret-copy2
\.
copy orders to stdout;
copy orders from stdin with (format csv);
10,secret-dup
\.
;
begin;
declare c cursor for select * from generate_series(1,100);
fetch 10 from c;
close c;
commit;
select 1 \; select 1/0 \; select 2;
select repeat('x', 20000);
select g from generate_series(1,300) g;
select * from orders, pg_class where relname='secret-rel' /*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/;
set application_name to secretapp;
