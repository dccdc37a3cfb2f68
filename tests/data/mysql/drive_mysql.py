"""What two drivers ask: PyMySQL, also by hand with a cursor and rare commands; mysql-connector with prepared statements."""

from __future__ import annotations

import contextlib
import os
import struct

import mysql.connector
import pymysql
import pymysql.cursors
from pymysql.constants import CLIENT

PORT = int(os.environ["MYSQL_PORT"])
ACCOUNT = {"host": "127.0.0.1", "port": PORT, "user": "app", "password": "secretpw", "database": "shop"}
TRACED = "select 1/0, true /*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/"


def ask_with_pymysql() -> None:
    connection = pymysql.connect(**ACCOUNT, autocommit=True, client_flag=CLIENT.MULTI_STATEMENTS)
    cursor = connection.cursor()
    connection.ping()
    cursor.execute("select * from orders where name=%s", ("secret-bob",))
    cursor.execute("select 1; select name from orders; update orders set name='secretz' where id=2")
    while cursor.nextset():
        pass
    cursor.executemany("replace into orders values(%s,%s)", [(20, "secret1"), (21, "secret2")])
    cursor.execute("select 1; select * from nope; select 2")
    with contextlib.suppress(pymysql.MySQLError):
        cursor.nextset()
    connection.select_db("mysql")
    cursor.execute("select 1")
    connection.select_db("shop")
    unbuffered = connection.cursor(pymysql.cursors.SSCursor)
    unbuffered.execute("select id from orders")
    unbuffered.fetchall()
    unbuffered.close()
    cursor.execute(TRACED)
    connection.close()
    with contextlib.suppress(pymysql.MySQLError):
        pymysql.connect(host="127.0.0.1", port=PORT, user="app", password="wrongsecret")


class ByHand:
    """Commands that PyMySQL never sends."""

    def __init__(self) -> None:
        self.connection = pymysql.connect(**ACCOUNT)

    def ask(self, command: int, content: bytes, until_end: bool = False) -> bytes:
        self.connection._execute_command(command, content)
        packet = self.connection._read_packet()._data
        while until_end and packet[0] != 0xFE:
            packet = self.connection._read_packet()._data
        return packet

    def prepare(self, text: bytes) -> bytes:
        first = self.ask(0x16, text)
        for count in struct.unpack("<HH", first[5:9]):
            for _ in range(count + 1 if count else 0):
                self.connection._read_packet()
        return first[1:5]

    def execute(self, statement: bytes, flags: int, value: int) -> None:
        content = statement + struct.pack("<BI", flags, 1) + b"\0\1\x08\0" + struct.pack("<q", value)
        self.ask(0x17, content, until_end=True)

    def read_to_end(self) -> None:
        while self.connection._read_packet()._data[0] != 0xFE:
            pass


def ask_by_hand() -> None:
    hand = ByHand()
    statement = hand.prepare(b"select id,name from orders where id > ?")
    hand.execute(statement, 1, 0)  # a cursor: no rows come
    for _ in range(3):
        hand.ask(0x1C, statement + struct.pack("<I", 3), until_end=True)
    hand.ask(0x1A, statement)
    hand.execute(statement, 0, 1)
    hand.read_to_end()
    hand.connection._execute_command(0x18, statement + b"\0\0secretlong")
    hand.connection._execute_command(0x19, statement)
    hand.ask(0x1F, b"")
    hand.ask(0x09, b"")
    hand.ask(0x0D, b"")
    hand.ask(0x04, b"orders\0", until_end=True)
    hand.ask(0x1B, b"\0\0")
    hand.connection.close()


def ask_with_connector() -> None:
    connection = mysql.connector.connect(**ACCOUNT, use_pure=True, ssl_disabled=True, autocommit=True)
    cursor = connection.cursor(prepared=True)
    for number in range(3):
        cursor.execute("select id,name from orders where id=%s", (number,))
        cursor.fetchall()
    for _ in range(2):
        with contextlib.suppress(mysql.connector.Error):
            cursor.execute("insert into orders values (%s,%s)", (900, "secretp"))
    with contextlib.suppress(mysql.connector.Error):
        cursor.execute("selec from x where a=%s", (1,))
    cursor.close()
    connection.cmd_statistics()
    connection.cmd_change_user("app", "secretpw", "mysql")
    plain = connection.cursor()
    plain.execute("select 1")
    plain.fetchall()
    connection.reset_session()
    connection.close()


ask_with_pymysql()
ask_by_hand()
ask_with_connector()
