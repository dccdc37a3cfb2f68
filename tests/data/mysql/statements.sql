create table if not exists orders(id int primary key, name varchar(100));
truncate orders;
insert into orders values (1,'secret-alice'),(2,"secret-bob"),(3,'it\'s secret');
select * from orders where name = 'secret-alice';
select count(*) from orders;
select * from missing_table;
insert into orders values (1,'dup-secret');
begin;
update orders set name = 'secret-x' where id = 1;
rollback;
use shop;
show tables;
load data local infile 'INFILE' into table orders fields terminated by ',';
delimiter //
create or replace procedure p() begin select 1; select name from orders limit 2; end//
delimiter ;
call p();
select * from orders where id in (1,2,3) -- secret comment
;
set sql_mode='NO_BACKSLASH_ESCAPES';
select 'C:\', name from orders;
drop table if exists nothing_here;
select repeat('x',20000);
