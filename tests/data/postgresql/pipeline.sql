\set a random(1,1000)
\startpipeline
select :a from orders;
insert into orders values (:a+100000, 'secret') on conflict do nothing;
update orders set name='secret' where id=:a;
\endpipeline
