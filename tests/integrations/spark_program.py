"""One job of Spark, in a process of its own: its arguments are JSON on stdin, its result is a line of JSON."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from isnotai_async.integrations import spark as source
from isnotai_async.integrations.spark import IsNotAIDataSource


class Killed(IsNotAIDataSource):
    """The data source, with a worker that is killed after its first batch, once."""

    def reader(self, schema: object) -> Any:
        reader, read, flag = super().reader(schema), source._SparkReader.read, Path(os.environ["KILLED_ONCE"])

        class KilledReader(source._SparkReader):
            def read(self, partition: Any) -> Iterator[Any]:
                for batch in read(self, partition):
                    yield batch
                    if not flag.exists():
                        flag.touch()
                        os.kill(os.getpid(), signal.SIGKILL)

        return KilledReader(reader.job)


def main(case: dict[str, Any]) -> None:
    """Run the job; print its rows, or the error that rejected it."""
    os.environ |= {"ISNOTAI_API_KEY": case["key"], "ISNOTAI_BASE_URL": case["base_url"]}
    os.environ |= {"PYSPARK_PYTHON": sys.executable, "PYTHONPATH": str(Path.cwd())}
    os.environ |= {"SPARK_LOCAL_IP": "127.0.0.1", "KILLED_ONCE": case["flag"]}
    builder = SparkSession.builder.master("local[2,4]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.driver.bindAddress", "127.0.0.1").config("spark.driver.host", "127.0.0.1")
    spark = builder.config("spark.driver.memory", "512m").getOrCreate()
    spark.dataSource.register(Killed if case["kills"] else IsNotAIDataSource)
    try:
        frame = spark.read.format("isnotai").options(**case["options"]).load()
        frame = frame.selectExpr("*", "unix_millis(timestamp) AS ms")
        rows, partitions = [row.asDict() for row in frame.collect()], frame.rdd.getNumPartitions()
        for row in rows:
            row["timestamp"] = row.pop("ms")
        print(json.dumps({"rows": [list(row.values()) for row in rows], "partitions": partitions}))  # noqa: T201
    except Exception as error:  # noqa: BLE001 - printed
        print(json.dumps({"error": str(error)}))  # noqa: T201
    finally:
        spark.stop()


if __name__ == "__main__":
    main(json.load(sys.stdin))
