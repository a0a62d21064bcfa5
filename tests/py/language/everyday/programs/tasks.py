"""asyncio without a network: workers, a queue, timeouts."""
import asyncio


async def worker(name, jobs, done):
    while True:
        job = await jobs.get()
        await asyncio.sleep(0)
        done.append((name, job * job))
        jobs.task_done()


async def main():
    jobs, done = asyncio.Queue(), []
    workers = [asyncio.create_task(worker(f"w{n}", jobs, done)) for n in range(2)]
    for n in range(4):
        jobs.put_nowait(n)
    await jobs.join()
    for task in workers:
        task.cancel()
    results = await asyncio.gather(*workers, return_exceptions=True)
    print(sorted(value for _, value in done), [type(result).__name__ for result in results])
    try:
        await asyncio.wait_for(asyncio.Event().wait(), 0.01)
    except TimeoutError:
        print("too late")
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(asyncio.sleep(0.001 * n, n)) for n in (2, 1)]
    print([task.result() for task in tasks])


asyncio.run(main())
