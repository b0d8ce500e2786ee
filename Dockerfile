# mmpr with its CPU lock. By default it builds the quickstart's data set, as a user without a name on a read-only root:
#
#   docker build --tag mmpr .
#   docker run --rm --read-only --tmpfs /tmp:exec --shm-size 2g --volume mmpr-data:/data mmpr
#
# Any other command of mmpr follows the image's name: docker run ... mmpr check /data/quickstart --verify
FROM python:3.11-slim

# What the README asks for beside Python.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ make \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /mmpr
COPY . .
RUN make setup EXTRA=cpu && mkdir --mode 1777 /data

# Nothing is written but to the volume and to /tmp, where caches go too.
ENV HOME=/tmp PYTHONDONTWRITEBYTECODE=1
WORKDIR /data
USER 12345:12345
ENTRYPOINT ["/mmpr/.venv/bin/mmpr"]
CMD ["build", "quickstart", "--out", "/data/quickstart"]
