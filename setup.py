"""What pyproject.toml cannot say: the checkout's configs/ and assets/ are data of the package (moda/locations.py)."""

from setuptools import find_packages, setup

DATA = {f"moda.package_data.{name}": name for name in ("configs", "assets")}

setup(packages=[*find_packages(include=["moda*", "data_prepare*"]), *DATA], package_dir=DATA)
